package spanwire_test

import (
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"testing"
	"time"
)

// TestHeartbeatsAgree holds the engine, which sends heartbeats, to the redirect rules, which wait for them. Neither package may import the
// other, so their constants are read from the source.
func TestHeartbeatsAgree(t *testing.T) {
	every, life := durationOf(t, "core/heartbeat.go", "beatEvery"), durationOf(t, "core/heartbeat.go", "heartbeatLife")
	alive := durationOf(t, "intercept/plan.go", "aliveFor")
	if alive%time.Second != 0 {
		t.Errorf("aliveFor is %v: the rules are written in whole seconds", alive)
	}
	if alive < 4*every {
		t.Errorf("aliveFor is %v: three heartbeats of one each %v may be lost before connections go past the sidecar", alive, every)
	}
	// A sidecar that ends takes connections for as long as the rules may still send it some, and not much longer.
	if life <= alive || life > alive+every {
		t.Errorf("heartbeatLife is %v, aliveFor %v: the one must be a little more than the other", life, alive)
	}
}

// durationOf returns the value of a constant of a file: a number times a unit of package time.
func durationOf(t *testing.T, file, name string) time.Duration {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var found ast.Expr
	ast.Inspect(parsed, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Names) == 1 && spec.Names[0].Name == name && len(spec.Values) == 1 {
			found = spec.Values[0]
		}
		return true
	})
	product, ok := found.(*ast.BinaryExpr)
	if !ok || product.Op != token.MUL {
		t.Fatalf("%s: %s is not a number times a unit", file, name)
	}
	number, isNumber := product.X.(*ast.BasicLit)
	unit, isUnit := product.Y.(*ast.SelectorExpr)
	if !isNumber || !isUnit {
		t.Fatalf("%s: %s is not a number times a unit", file, name)
	}
	units := map[string]time.Duration{"Millisecond": time.Millisecond, "Second": time.Second}
	n, exact := constant.Int64Val(constant.MakeFromLiteral(number.Value, number.Kind, 0))
	if !exact || units[unit.Sel.Name] == 0 {
		t.Fatalf("%s: %s is %s of %s", file, name, number.Value, unit.Sel.Name)
	}
	return time.Duration(n) * units[unit.Sel.Name]
}
