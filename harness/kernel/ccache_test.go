package kernel

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Hosts that build share objects through the remote storage of ccache, if the path of the sources is below
// CCACHE_BASEDIR: what one compiled the other takes, with the variables of a build.
func TestObjectsAreShared(t *testing.T) {
	for _, need := range []string{"ccache", "gcc"} {
		if _, err := exec.LookPath(need); err != nil {
			t.Skip(err)
		}
	}
	remote := t.TempDir()
	counts := func(host string) string {
		dir := filepath.Join(t.TempDir(), host)
		src := filepath.Join(dir, "src")
		if err := os.MkdirAll(src, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(src, "a.c"), []byte("#include \"a.h\"\nint a = A;\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(src, "a.h"), []byte("#define A 1\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		t.Setenv("CCACHE_DIR", filepath.Join(dir, "ccache"))
		t.Setenv("CCACHE_BASEDIR", dir)
		t.Setenv("CCACHE_REMOTE_STORAGE", "file:"+remote)
		run := func(args ...string) string {
			c := exec.CommandContext(t.Context(), "ccache", args...)
			c.Dir, c.Env = dir, append(buildEnv(os.Environ()), fixed...)
			out, err := c.CombinedOutput()
			if err != nil {
				t.Fatalf("ccache %v: %v: %s", args, err, out)
			}
			return string(out)
		}
		run("gcc", "-I"+src, "-c", filepath.Join(src, "a.c"), "-o", filepath.Join(dir, "a.o"))
		var out []string
		for line := range strings.Lines(run("--print-stats")) {
			if f := strings.Fields(line); len(f) == 2 && f[1] != "0" && (f[0] == "cache_miss" ||
				f[0] == "remote_storage_hit" || f[0] == "direct_cache_hit") {
				out = append(out, f[0])
			}
		}
		return strings.Join(out, " ")
	}
	if got := counts("first"); got != "cache_miss" {
		t.Errorf("the first host: %s", got)
	}
	if got := counts("second"); got != "direct_cache_hit remote_storage_hit" {
		t.Errorf("the second host: %s", got)
	}
}
