package farm

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tokentest/harness/kernel"
)

func TestParseURL(t *testing.T) {
	t.Setenv(Variable, "")
	cert := strings.Repeat("ab", 32)
	for text, want := range map[string]string{
		"nats://secret@127.0.0.1:4223":        "",
		"nats://secret@localhost:4223":        "",
		"tls://secret@farm:4223?cert=" + cert: "",
		"tls://secret@a:4223,b:4223":          "",
		"nats://secret@farm:4223":             "nats:// is for this host alone",
		"http://secret@127.0.0.1:1":           "begins with nats:// or tls://",
		"tls://secret@farm:4223?cert=ab":      "must be a SHA-256",
		"127.0.0.1:4223":                      "is no URL of a farm",
		"":                                    "set " + Variable,
	} {
		u, err := ParseURL(text)
		switch {
		case want == "" && (err != nil || u.String() != text):
			t.Errorf("%s: got %v, %v", text, u, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret")):
			t.Errorf("%s: got %v, want %q without the token", text, err, want)
		}
	}
	t.Setenv(Variable, "nats://secret@127.0.0.1:4223")
	if u, err := ParseURL(""); err != nil || u.Token != "secret" {
		t.Errorf("from the environment: %v, %v", u, err)
	}
}

func TestRedact(t *testing.T) {
	got := RedactAll([]string{"run", "--on", "nats://secret@127.0.0.1:1", "--on=tls://secret@a:1,b:2?cert=x", "a@b"})
	want := "run --on nats://TOKEN@127.0.0.1:1 --on=tls://TOKEN@a:1,b:2?cert=x a@b"
	if strings.Join(got, " ") != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestClass(t *testing.T) {
	c := NewClass("0123456789abcdef", "auto", 768)
	if back, ok := ParseClass(c.String()); !ok || back != c || c.GiB != 1 || c.Accel != AnyAccel {
		t.Errorf("got %v, %v; want %v", back, ok, c)
	}
	if _, ok := ParseClass("a-b-c"); ok {
		t.Error("a name of three words is a class")
	}
	w := Can{Build: c.Build, Arch: c.Arch, TCG: true, MiB: 2048}
	for accel, want := range map[string]bool{"auto": true, "tcg": true, "kvm": false} {
		if got := w.Take(NewClass(c.Build, accel, 768)); got != want {
			t.Errorf("a worker without KVM takes %s: %v, want %v", accel, got, want)
		}
	}
	if w.Take(NewClass("another", "auto", 768)) || w.Take(NewClass(c.Build, "auto", 4096)) {
		t.Error("a worker takes a part of another build, or one that is too big")
	}
}

// A build is for a worker with the same tools; one that only builds takes nothing else.
func TestBuildClass(t *testing.T) {
	c := BuildClass("0123456789abcdef", "gcc 12")
	if back, ok := ParseClass(c.String()); !ok || back != c {
		t.Errorf("got %v, %v; want %v", back, ok, c)
	}
	can := Can{Build: c.Build, Arch: c.Arch, TCG: true, KVM: true, MiB: 2048}
	builder := Can{Build: c.Build, Arch: c.Arch, MiB: 2048, Tools: "gcc 12"}
	other := builder
	other.Tools = "gcc 13"
	if can.Take(c) || !builder.Take(c) || other.Take(c) || builder.Take(NewClass(c.Build, "auto", 768)) {
		t.Errorf("takes: %v %v %v %v", can.Take(c), builder.Take(c), other.Take(c),
			builder.Take(NewClass(c.Build, "auto", 768)))
	}
}

func TestDecode(t *testing.T) {
	d := strings.Repeat("ab", 32)
	p := Part{Job: "job", Kernel: kernel.Portable{Digest: d}, Image: Image{Digest: d}, Cases: d, Settings: d, To: 1}
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Decode(text); err != nil || *got != p {
		t.Errorf("got %v, %v", got, err)
	}
	for _, change := range []string{`"job":"job"|"job":"a.>"`, `"to":1|"to":0`, `"cases":"ab|"cases":"../`,
		`{"job"|{"argv":["x"],"job"`} {
		from, to, _ := strings.Cut(change, "|")
		bad := strings.Replace(string(text), from, to, 1)
		if _, err := Decode([]byte(bad)); err == nil || bad == string(text) {
			t.Errorf("%s: no error", change)
		}
	}
}

func TestDecodeBuild(t *testing.T) {
	d := strings.Repeat("ab", 32)
	good := Part{Job: "job", Order: d, To: 1, Class: BuildClass("b", "gcc 12")}
	for change, ok := range map[string]bool{"": true, `"order":"ab|"order":"../`: false, `"tools":|"accel":`: false,
		`"cases":""|"cases":"` + d + `"`: false, `"order":|"mutants":`: false} {
		text, err := json.Marshal(good)
		if err != nil {
			t.Fatal(err)
		}
		from, to, _ := strings.Cut(change, "|")
		changed := strings.Replace(string(text), from, to, 1)
		if _, err := Decode([]byte(changed)); (err == nil) != ok || changed == string(text) && change != "" {
			t.Errorf("%q: %v", change, err)
		}
	}
}

func TestArchive(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "out")
	for name, text := range map[string]string{"run.json": "{}", "kernel0/boot0/console.log": "hello"} {
		path := filepath.Join(from, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(from, "link")); err != nil {
		t.Fatal(err)
	}
	text, err := Pack(from)
	if err == nil {
		err = Unpack(text, to)
	}
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(to, "kernel0/boot0/console.log")); err != nil || string(got) != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := os.Lstat(filepath.Join(to, "link")); err == nil {
		t.Error("a link is in the archive")
	}
	if err := Unpack(text[:len(text)/2], to); err == nil {
		t.Error("half of an archive is no error")
	}
}
