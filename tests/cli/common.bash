# Loaded by every bats file. Each test has a copy of the project, so runs do
# not see each other; build/ is shared.
project() {
	P=$BATS_TEST_TMPDIR/${1:-p}
	mkdir -p "$P"
	(cd "$BATS_TEST_DIRNAME/../.." && git ls-files -z -co --exclude-standard | xargs -0 cp -p --parents -t "$P" 2>/dev/null) || true
	ln -sfn "$ONBOARD_BUILD" "$P/${ONBOARD_BUILD##*/}"
	cd "$P" || return 1
	unset MAKELEVEL
	export MAKEFLAGS="" HF_ENDPOINT=http://127.0.0.1:9 HF_TOKEN="" HF_HOME=$BATS_TEST_TMPDIR/hf HOME=$BATS_TEST_TMPDIR
	export SANITIZE=${SANITIZE:-}
	M=(make "B=${ONBOARD_BUILD##*/}" SOURCE=snapshot "SIM_FLAGS=--batches=8 --inputs=100 --output=10 --calls=4")
}
B() { "$ONBOARD_BUILD/bin/$1" "${@:2}"; }
# every file of a run with its bytes, times left out
digest() { (cd "${1:-.}" && find tmp -type f -not -path '*/.git/*' -not -name '*.lock' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum); }
need_shared() { [ -d "$ONBOARD_SHARED/upstream" ] || skip "no ../shared here"; }
upstream() {
	need_shared
	[ -d "$BATS_FILE_TMPDIR/up" ] || bash "$ONBOARD_SHARED/upstream/unpack.sh" "$BATS_FILE_TMPDIR/up" >/dev/null
	UP=$BATS_FILE_TMPDIR/up
}
# a Hub on loopback that answers as told: hub STATUS [FILE]
hub() {
	python3 - "$1" "${2:-}" "$BATS_TEST_TMPDIR/port" <<-'PY' &
	import http.server, sys
	status, body = sys.argv[1], open(sys.argv[2], "rb").read() if sys.argv[2] else b"{}"
	seen = []
	class H(http.server.BaseHTTPRequestHandler):
	    def do_GET(self):
	        seen.append(self.path)
	        codes = status.split(",")
	        code = int(codes[min(len(seen), len(codes)) - 1])
	        self.send_response(code)
	        self.send_header("Content-Length", str(len(body)))
	        self.end_headers()
	        self.wfile.write(body)
	        print(self.path, self.headers.get("Authorization"), file=open(sys.argv[3] + ".log", "a"))
	    def log_message(self, *a): pass
	s = http.server.HTTPServer(("127.0.0.1", 0), H)
	s.timeout = 20
	open(sys.argv[3], "w").write(str(s.server_port))
	for _ in range(40): s.handle_request()
	PY
	HUB=$!
	for _ in $(seq 100); do [ -s "$BATS_TEST_TMPDIR/port" ] && break; sleep 0.05; done
	export HF_ENDPOINT=http://127.0.0.1:$(cat "$BATS_TEST_TMPDIR/port")
}
