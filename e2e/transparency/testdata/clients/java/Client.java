import java.io.ByteArrayInputStream;
import java.io.FileInputStream;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/** The cases of the JDK's HttpClient. */
public class Client {
	static final String ORIGIN = System.getenv("ORIGIN"), TLS = System.getenv("ORIGIN_TLS"), H2C = System.getenv("ORIGIN_H2C"), DEAD = System.getenv("DEAD");
	static final byte[] BIG = new byte[2 << 20];

	static String digest(byte[] b) throws Exception {
		return b.length + " " + HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(b)).substring(0, 16);
	}

	static byte[] pattern(int n) {
		byte[] b = new byte[(n + 63) / 64 * 64];
		Arrays.fill(b, (byte) '0');
		for (int line = 0, end = 63; end < b.length; line++, end += 64) {
			b[end] = '\n';
			for (int v = line, at = end - 1; v > 0; v /= 10, at--) b[at] = (byte) ('0' + v % 10);
		}
		return Arrays.copyOf(b, n);
	}

	static void test(String name, Callable<Object> run, String want) {
		String got;
		try {
			got = String.valueOf(run.call());
		} catch (Exception e) { // the kind of an error is what a program sees of it
			got = e.getClass().getSimpleName();
		}
		boolean ok = want == null || want.equals(got);
		System.out.println((ok ? "ok" : "not ok") + "\t" + name + "\t" + (ok ? got : got + " (want " + want + ")").replace("\n", "\\n"));
	}

	static HttpRequest.Builder to(String uri) {
		return HttpRequest.newBuilder(URI.create(uri));
	}

	static String text(HttpClient c, HttpRequest r) throws Exception {
		HttpResponse<String> a = c.send(r, BodyHandlers.ofString());
		return a.version() + " " + a.statusCode() + " " + a.body().strip();
	}

	static String sum(HttpClient c, HttpRequest r) throws Exception {
		return digest(c.send(r, BodyHandlers.ofByteArray()).body());
	}

	/** cases runs what every protocol can; origin is where, version what the answers are to say. */
	static void cases(String kind, HttpClient c, String origin, String version) throws Exception {
		String post = version + " 200 POST ";
		test(kind + " get", () -> text(c, to(origin + "/hello").build()), version + " 200 hello, world");
		test(kind + " sequential", () -> {
			for (int i = 0; i < 20; i++) text(c, to(origin + "/hello").build());
			return text(c, to(origin + "/hello").build());
		}, version + " 200 hello, world");
		test(kind + " head", () -> c.send(to(origin + "/size/100000").method("HEAD", BodyPublishers.noBody()).build(), BodyHandlers.ofString()).headers().firstValue("content-length").get(), "100000");
		test(kind + " download", () -> sum(c, to(origin + "/size/4194304").build()), digest(pattern(4194304)));
		test(kind + " download in pieces", () -> sum(c, to(origin + "/chunked/2000000").build()), digest(pattern(2000000)));
		test(kind + " upload", () -> text(c, to(origin + "/echo").POST(BodyPublishers.ofByteArray(BIG)).build()), post + "length " + digest(BIG));
		test(kind + " upload in pieces", () -> text(c, to(origin + "/echo").POST(BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(BIG))).build()),
			post + (version.equals("HTTP_2") ? "stream " : "chunked ") + digest(BIG));
		test(kind + " gzip", () -> c.send(to(origin + "/gzip/1000000").header("Accept-Encoding", "gzip").build(), BodyHandlers.ofByteArray()).headers().firstValue("content-encoding").get(), "gzip");
		test(kind + " redirects", () -> text(c, to(origin + "/redirect/4").build()), version + " 200 hello, world");
		test(kind + " redirect with body", () -> text(c, to(origin + "/again/307").POST(BodyPublishers.ofString("hello")).build()), post + "length " + digest("hello".getBytes()));
		for (int status : new int[] {204, 304, 404, 500, 503}) test(kind + " status " + status, () -> text(c, to(origin + "/status/" + status).build()), null);
		test(kind + " stream", () -> text(c, to(origin + "/slow/20").build()).length(), "" + (version.length() + 5 + 43));
		test(kind + " timeout", () -> text(c, to(origin + "/hang").timeout(Duration.ofMillis(1000)).build()), "HttpTimeoutException");
		test(kind + " aborted", () -> text(c, to(origin + "/abort").POST(BodyPublishers.ofString("x")).build()), "IOException");
		test(kind + " truncated", () -> text(c, to(origin + "/truncated/100000").build()), "IOException");
		test(kind + " parallel", () -> {
			List<CompletableFuture<Integer>> all = new ArrayList<>();
			for (int i = 0; i < 50; i++) {
				HttpRequest r = to(origin + "/echo").POST(BodyPublishers.ofByteArray(new byte[i * 100])).build();
				all.add(c.sendAsync(r, BodyHandlers.ofString()).thenApply(a -> Integer.parseInt(a.body().split(" ")[2])));
			}
			int n = 0;
			for (CompletableFuture<Integer> f : all) n += f.get();
			return n;
		}, "" + 49 * 50 / 2 * 100);
	}

	public static void main(String[] args) throws Exception {
		for (int i = 0; i < BIG.length; i++) BIG[i] = (byte) i;
		KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
		store.load(null, null);
		try (FileInputStream in = new FileInputStream(System.getenv("CA"))) {
			store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(in));
		}
		TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
		trust.init(store);
		SSLContext tls = SSLContext.getInstance("TLS");
		tls.init(null, trust.getTrustManagers(), null);

		HttpClient h1 = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).followRedirects(HttpClient.Redirect.NORMAL).sslContext(tls).build();
		HttpClient h2 = HttpClient.newBuilder().version(HttpClient.Version.HTTP_2).followRedirects(HttpClient.Redirect.NORMAL).sslContext(tls).build();
		cases("HTTP/1.1", h1, ORIGIN, "HTTP_1_1");
		cases("TLS HTTP/1.1", h1, TLS, "HTTP_1_1");
		cases("TLS HTTP/2", h2, TLS, "HTTP_2");
		test("100-continue", () -> text(h1, to(ORIGIN + "/expect").expectContinue(true).POST(BodyPublishers.ofByteArray(BIG)).build()),
			"HTTP_1_1 200 POST length " + digest(BIG) + " expect=100-Continue");
		test("close-delimited", () -> sum(h1, to(ORIGIN + "/close/300000").build()), digest(pattern(300000)));
		test("trailers", () -> sum(h1, to(ORIGIN + "/trailers/5000").build()), "ProtocolException"); // this version knows no trailers
		// The server ignores the upgrade to HTTP/2 here, and takes it there.
		test("upgrade ignored", () -> text(h2, to(ORIGIN + "/hello").build()), "HTTP_1_1 200 hello, world");
		test("upgrade taken", () -> text(h2, to(H2C + "/a").build()).replaceAll(" [0-9a-f]{64}", ""), "HTTP_2 200 HTTP/1.1 GET /a 0");
		test("after the upgrade", () -> text(h2, to(H2C + "/b").POST(BodyPublishers.ofByteArray(BIG)).build()).replaceAll(" [0-9a-f]{64}", ""), "HTTP_2 200 HTTP/2.0 POST /b " + BIG.length);
		test("download after the upgrade", () -> sum(h2, to(H2C + "/c?size=2000000").build()), null);
		test("refused", () -> {
			try {
				return text(h1, to(DEAD + "/hello").build());
			} catch (IOException e) {
				return "IOException";
			}
		}, "IOException");
		test("refused kind", () -> text(h1, to(DEAD + "/hello").build()), "ConnectException");
		System.exit(0); // its pools' threads live on
	}
}
