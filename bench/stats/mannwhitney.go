package stats

import (
	"math"
	"slices"
)

// exactLimit is up to how many values a side the distribution of U is counted out; beyond, and with ties, the normal
// approximation is good to the second digit.
const exactLimit = 30

// MannWhitney returns the two-sided probability that samples like a and b come from one distribution (Mann and Whitney 1947): small =
// they differ. 1 when a side is empty or all values are equal.
func MannWhitney(a, b []float64) float64 {
	n, m := len(a), len(b)
	if n == 0 || m == 0 {
		return 1
	}
	rankSum, ties := rankSum(a, b)
	u := rankSum - float64(n*(n+1))/2 // how many pairs (x of a, y of b) have x > y, halves for ties
	u = min(u, float64(n*m)-u)
	if ties == 0 && n <= exactLimit && m <= exactLimit {
		return min(1, 2*cumulativeU(n, m, int(u)))
	}
	total := float64(n + m)
	variance := float64(n*m) / 12 * (total + 1 - ties/(total*(total-1)))
	if variance <= 0 {
		return 1
	}
	z := (u - float64(n*m)/2 + 0.5) / math.Sqrt(variance) // 0.5: correction for continuity
	return min(1, math.Erfc(-z/math.Sqrt2))
}

// rankSum returns the sum of a's ranks among all values, ties sharing theirs, and Σ(t³ − t) over the groups of ties.
func rankSum(a, b []float64) (sum, ties float64) {
	all := slices.Concat(a, b)
	slices.Sort(all)
	rank := map[float64]float64{}
	for i := 0; i < len(all); {
		j := i
		for j < len(all) && all[j] == all[i] {
			j++
		}
		rank[all[i]] = float64(i+j+1) / 2
		t := float64(j - i)
		ties += t*t*t - t
		i = j
	}
	for _, v := range a {
		sum += rank[v]
	}
	return sum, ties
}

// cumulativeU returns P(U ≤ u) for samples of n and m distinct values under the hypothesis that they do not differ: the number of
// ways to choose n of n+m ranks with that U, over all of them.
func cumulativeU(n, m, u int) float64 {
	// ways[i][s] counts the ways in which i of the ranks seen so far add up to U = s (Mann and Whitney's recurrence, by items).
	ways := make([][]float64, n+1)
	for i := range ways {
		ways[i] = make([]float64, n*m+1)
	}
	ways[0][0] = 1
	for item := 1; item <= n+m; item++ {
		for i := min(item, n); i >= 1; i-- {
			// The item as the i-th of a stands above item − i values of b.
			above := item - i
			if above > m {
				continue
			}
			for s := n * m; s >= above; s-- {
				ways[i][s] += ways[i-1][s-above]
			}
		}
	}
	total, low := 0.0, 0.0
	for s, w := range ways[n] {
		total += w
		if s <= u {
			low += w
		}
	}
	return low / total
}
