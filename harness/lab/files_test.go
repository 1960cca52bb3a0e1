package lab

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tokentest/harness/wire"
)

func TestGather(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a": "1", "sub/b": "22", "sub/deep/c": "333"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("a", filepath.Join(dir, "l")); err != nil {
		t.Fatal(err)
	}
	files, err := Gather(dir, "/to")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for i := range files {
		err := files[i].send(func(k wire.Kind, payload []byte) error {
			f, err := wire.DecodeFile(payload)
			if err == nil {
				got[f.Path] += string(f.Data)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for path, text := range map[string]string{"/to": "", "/to/a": "1", "/to/sub/deep/c": "333", "/to/l": "a"} {
		if s, ok := got[path]; !ok || s != text {
			t.Errorf("%s holds %q (%v), want %q", path, s, ok, text)
		}
	}
	if _, err := Gather(filepath.Join(dir, "nowhere"), "/to"); err == nil {
		t.Error("a missing directory was collected")
	}
}

// TestSendParts: a large file needs several records, an empty one needs one.
func TestSendParts(t *testing.T) {
	for _, size := range []int{0, 1, wire.MaxFileData, wire.MaxFileData + 1, 3 * wire.MaxFileData} {
		path := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(path, make([]byte, size), 0o644); err != nil {
			t.Fatal(err)
		}
		files, err := Gather(path, "/f")
		if err != nil || len(files) != 1 {
			t.Fatal(files, err)
		}
		records, sum := 0, 0
		err = files[0].send(func(_ wire.Kind, payload []byte) error {
			f, err := wire.DecodeFile(payload)
			if err != nil || f.More != (records > 0) {
				t.Errorf("record %d: more is %v, %v", records, f.More, err)
			}
			records, sum = records+1, sum+len(f.Data)
			return nil
		})
		if err != nil || sum != size || records != max(1, (size+wire.MaxFileData-1)/wire.MaxFileData) {
			t.Errorf("%d bytes: %d in %d records, %v", size, sum, records, err)
		}
	}
}

func TestLibraries(t *testing.T) {
	sh, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Skip("no /bin/sh")
	}
	f, err := elf.Open(sh)
	if err != nil || f.Machine != elf.EM_X86_64 {
		t.Skipf("/bin/sh is not for x86-64: %v", err)
	}
	f.Close()
	list, err := Libraries(sh)
	if err != nil || !slices.ContainsFunc(list, func(s string) bool {
		return strings.Contains(s, "ld-") ||
			strings.Contains(s, "libc")
	}) {
		t.Errorf("%s loads %q, %v", sh, list, err)
	}
	script := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(script, []byte("#! /bin/sh -e\necho\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	of, err := Libraries(script)
	if err != nil || !slices.Contains(of, "/bin/sh") || len(of) != len(list)+1 {
		t.Errorf("the script wants %q, %v", of, err)
	}
	text := filepath.Join(t.TempDir(), "t")
	if err := os.WriteFile(text, []byte("x"), 0o755); err != nil {
		t.Fatal(err)
	}
	if of, err := Libraries(text); err != nil || len(of) != 0 {
		t.Errorf("a text wants %q, %v", of, err)
	}
}

// A library that is missing is an error, whether the program or one of its libraries names it.
func TestLibrariesMissing(t *testing.T) {
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("no C compiler")
	}
	dir := t.TempDir()
	build := func(out, text string, args ...string) string {
		t.Helper()
		source := filepath.Join(dir, out+".c")
		if err := os.WriteFile(source, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		out = filepath.Join(dir, out)
		cmd := exec.Command(cc, append([]string{"-o", out, source, "-L" + dir, "-Wl,-rpath,$ORIGIN"}, args...)...)
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		return out
	}
	lower := build("liblower.so", "int lower(void) { return 0; }", "-shared", "-fPIC")
	upper := build("libupper.so", "int lower(void); int upper(void) { return lower(); }", "-shared", "-fPIC", "-llower")
	program := build("program", "int upper(void); int main(void) { return upper(); }", "-lupper")
	static := build("static", "int main(void) { return 0; }", "-static")
	if list, err := Libraries(static); err != nil || len(list) != 0 {
		t.Errorf("a static program loads %q, %v", list, err)
	}
	if list, err := Libraries(program); err != nil || !slices.Contains(list, lower) || !slices.Contains(list, upper) {
		t.Errorf("got %q, %v", list, err)
	}
	for _, path := range []string{lower, upper} {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if _, err := Libraries(program); err == nil || !strings.Contains(err.Error(), filepath.Base(path)) {
			t.Errorf("without %s: got %v", filepath.Base(path), err)
		}
	}
}
