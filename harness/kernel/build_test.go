package kernel

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tokentest/harness/lab/labtest"
	"tokentest/harness/lockfile"
	"tokentest/kconfig"
)

// yard is a user's git repository with a tree that builds like a kernel, and the options of
// the build.
type yard struct {
	t    *testing.T
	tree string
	o    Options
	said []string
}

func newYard(t *testing.T) *yard {
	t.Helper()
	for _, need := range []string{"git", "make"} {
		if _, err := exec.LookPath(need); err != nil {
			t.Skip(err)
		}
	}
	dir := t.TempDir()
	w := &yard{t: t, tree: filepath.Join(dir, "linux")}
	w.o = Options{CacheDir: filepath.Join(dir, "cache"), Log: func(format string,
		args ...any) {
		w.said = append(w.said, fmt.Sprintf(format, args...))
	}}
	f, err := kconfig.ParseFragment("mine.config", []byte("CONFIG_NET=y\n"))
	if err != nil {
		t.Fatal(err)
	}
	w.o.Build.Fragments = []*kconfig.Fragment{f}
	tools := filepath.Join(dir, "tools")
	if err := errors.Join(labtest.Source(w.tree), labtest.Tools(tools)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", tools+":"+os.Getenv("PATH"))
	t.Setenv("GIT_CONFIG_GLOBAL", "/dev/null")
	w.git("init", "-q", "-b", "main")
	w.git("add", "-A")
	w.git("commit", "-q", "-m", "base")
	return w
}

func (w *yard) git(args ...string) string {
	w.t.Helper()
	cmd := exec.Command("git", append([]string{"-C", w.tree, "-c", "user.name=t", "-c", "user.email=t@t"}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (w *yard) write(text string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.tree, "kernel/bpf/token.c"), []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// series makes patches of sources, one after the other, and leaves the tree as it was.
func (w *yard) series(sources ...string) string {
	w.t.Helper()
	base := w.git("rev-parse", "HEAD")
	for i, text := range sources {
		w.write(text)
		w.git("commit", "-q", "-a", "-m", fmt.Sprintf("patch %d", i+1))
	}
	mbox := filepath.Join(w.t.TempDir(), "series.mbox")
	out := w.git("format-patch", "--stdout", base)
	if err := os.WriteFile(mbox, []byte(out+"\n"), 0o644); err != nil {
		w.t.Fatal(err)
	}
	w.git("reset", "-q", "--hard", base)
	return mbox
}

func (w *yard) resolve(ref string) (*Kernel, error) {
	w.said = nil
	return Resolve(w.t.Context(), ref, w.o)
}

func (w *yard) heard(text string) bool { return strings.Contains(strings.Join(w.said, "\n"), text) }

func imageText(t *testing.T, k *Kernel) string {
	t.Helper()
	text, err := os.ReadFile(k.Image)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestBuildCommit(t *testing.T) {
	w := newYard(t)
	k, err := w.resolve("git:" + w.tree)
	if err != nil {
		t.Fatal(err)
	}
	if k.Release != labtest.Release || k.Format != BzImage || k.Config.Value("NET") != "y" ||
		!strings.HasSuffix(imageText(t, k), "int token;\n") {
		t.Errorf("got %+v", k)
	}
	// The same again is found, by another name and from a commit with the same files.
	w.git("commit", "-q", "--allow-empty", "-m", "nothing")
	again, err := w.resolve("git:" + w.tree + "#HEAD")
	if err != nil || again.Digest != k.Digest || !w.heard("is built already") || w.heard("building") {
		t.Errorf("got %+v, %v, %q", again, err, w.said)
	}
	// Other files, another configuration: another kernel.
	w.write("int other;\n")
	w.git("commit", "-q", "-a", "-m", "other")
	if k, err = w.resolve("git:" + w.tree); err != nil || !w.heard("building") ||
		!strings.HasSuffix(imageText(t, k), "int other;\n") {
		t.Errorf("got %v, %q", err, w.said)
	}
	w.o.Build.Make = []string{"V=1"}
	if _, err = w.resolve("git:" + w.tree); err != nil || !w.heard("building") {
		t.Errorf("with other variables: got %v, %q", err, w.said)
	}
	if s := w.git("status", "--porcelain"); s != "" {
		t.Errorf("the user's tree has changed: %s", s)
	}
	if s := w.git("worktree", "list"); strings.Contains(s, "\n") {
		t.Errorf("the user's repository has a work tree more: %s", s)
	}
}

// A tree is built with the changes that are not committed, and they stay.
// A variable of the environment that would choose the compiler changes no build, and the user hears of it.
func TestBuildEnvironment(t *testing.T) {
	w := newYard(t)
	t.Setenv("LLVM", "-19")
	k, err := w.resolve("git:" + w.tree)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(imageText(t, k), "LLVM") || !w.heard("LLVM=-19 of the environment is not used: --make LLVM=-19") {
		t.Errorf("the environment chose the compiler, or the user did not hear of it: %q", w.said)
	}
	for _, name := range []string{"clang-19", "ld.lld-19"} {
		text := "#!/bin/sh\necho " + name + " 19.1\n"
		if err := os.WriteFile(filepath.Join(filepath.Dir(w.tree), "tools", name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	w.o.Build.Make = []string{"LLVM=-19"}
	other, err := w.resolve("git:" + w.tree)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(imageText(t, other), "LLVM=-19") || other.Image == k.Image {
		t.Errorf("--make LLVM=-19 did not choose the compiler: %q", w.said)
	}
}

func TestLLVMNames(t *testing.T) {
	for value, want := range map[string]string{"1": "clang", "-19": "clang-19", "/opt/llvm/bin/": "/opt/llvm/bin/clang"} {
		if got := llvm(value, "clang"); got != want {
			t.Errorf("LLVM=%s: %s, want %s", value, got, want)
		}
	}
}

func TestBuildTreeWithChanges(t *testing.T) {
	w := newYard(t)
	w.write("int changed;\n")
	b, err := Source(t.Context(), "tree:"+w.tree, w.o)
	if err != nil {
		t.Fatal(err)
	}
	k, err := b.Build(t.Context(), w.o.Build, w.o)
	if err != nil || !strings.HasSuffix(imageText(t, k), "int changed;\n") ||
		!strings.Contains(k.Source, "with its changes") {
		t.Errorf("got %+v, %v", k, err)
	}
	if s := w.git("status", "--porcelain"); !strings.Contains(s, "M kernel/bpf/token.c") || w.git("stash", "list") != "" {
		t.Errorf("the user's changes: %q", s)
	}
}

func TestBuildPatches(t *testing.T) {
	w := newYard(t)
	mbox := w.series("int one;\n", "int two;\n")
	ref := "git:" + w.tree + "+" + mbox
	k, err := w.resolve(ref)
	if err != nil || !strings.HasSuffix(imageText(t, k), "int two;\n") || !strings.Contains(k.Source, "with 2 patches") {
		t.Fatalf("got %+v, %v", k, err)
	}
	if again, err := w.resolve(ref); err != nil || again.Digest != k.Digest || w.heard("building") {
		t.Errorf("again: %v, %q", err, w.said)
	}
	// The patches of a directory, in the order of their names, without the cover letter.
	dir := t.TempDir()
	out, err := exec.Command("git", "-C", w.tree, "mailsplit", "-o"+dir, mbox).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for from, to := range map[string]string{"0001": "0001-one.patch", "0002": "0002-two.patch"} {
		if err := os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
			t.Fatal(err)
		}
	}
	os.WriteFile(filepath.Join(dir, "0000-cover-letter.patch"), []byte("no diff"), 0o644)
	if k, err = w.resolve("git:" + w.tree + "+" + dir + "/"); err != nil ||
		!strings.HasSuffix(imageText(t, k), "int two;\n") {
		t.Errorf("a directory: %+v, %v", k, err)
	}
	// Each patch can be built by itself.
	b, err := Source(t.Context(), ref, w.o)
	if err != nil || len(b.Patches) != 2 || b.Commit != b.Patches[1] {
		t.Fatalf("got %+v, %v", b, err)
	}
	first, err := b.At(t.Context(), b.Patches[0])
	if err != nil {
		t.Fatal(err)
	}
	if k, err = first.Build(t.Context(), w.o.Build, w.o); err != nil || !strings.HasSuffix(imageText(t, k), "int one;\n") {
		t.Errorf("the first patch alone: %v", err)
	}
}

// What git am takes is taken: bodies in base64, the .mbx that b4 leaves in a directory beside a cover letter, a
// maildir, the cover letters of any version, and a name with a plus sign.
func TestPatchForms(t *testing.T) {
	w := newYard(t)
	mbox := w.series("int one;\n", "int two;\n")
	text, err := os.ReadFile(mbox)
	if err != nil {
		t.Fatal(err)
	}
	mails := regexp.MustCompile(`(?m)^From [0-9a-f]{40} .*\n`).Split(string(text), -1)[1:]
	if len(mails) != 2 {
		t.Fatalf("%d mails in %s", len(mails), text)
	}
	dir := t.TempDir()
	put := func(name, text string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const cover = "From: a <a@b.c>\nSubject: [PATCH v2 0/2] x\n\n--- a/x\n+++ b/x\n is quoted here\n"
	encodedMails := ""
	for i, mail := range mails {
		head, body, _ := strings.Cut(mail, "\n\n")
		encodedMails += "From mboxrd@z Thu Jan  1 00:00:00 1970\n" + head +
			"\nMIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: base64\n\n" +
			base64.StdEncoding.EncodeToString([]byte(body)) + "\n\n"
		put(fmt.Sprintf("maildir/new/%d", i+1), mail)
		put(fmt.Sprintf("versions/v2-000%d-x.patch", i+1), mail)
	}
	put("base64.mbox", encodedMails)
	put("b4/v2_20260101_x.mbx", string(text))
	put("b4/v2_20260101_x.cover", cover)
	put("versions/v2-0000-cover-letter.patch", cover)
	put("demo+words.mbox", string(text))
	for _, name := range []string{"base64.mbox", "b4/", "maildir", "versions", "demo+words.mbox"} {
		k, err := w.resolve("git:" + w.tree + "#HEAD+" + filepath.Join(dir, name))
		if err != nil || !strings.HasSuffix(imageText(t, k), "int two;\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// isMail takes what git am takes.
func TestIsMail(t *testing.T) {
	for text, want := range map[string]bool{
		"From 0123 Mon Sep 17\nFrom: a\n\nx\n": true, "From: a\nSubject: b\n c\n\nx\n": true, "\n\nFrom: a\n\nx": true,
		"# HG changeset patch\n# User a\n": true, "a subject\n\nFrom: a\n\nx\n": true, "Subject: b\r\n\r\nx": true,
		"diff --git a/x b/x\n": false, "--- a/x\n+++ b/x\n": false, "words\n--- a/x\n": false,
	} {
		if got := isMail([]byte(text)); got != want {
			t.Errorf("%q: got %t", text, got)
		}
	}
}

// A patch that does not apply is named, with the file and the hunk, and leaves nothing behind.
func TestPatchErrors(t *testing.T) {
	w := newYard(t)
	lines := strings.Repeat("//\n", 40)
	w.write(lines + "int a;\n" + lines + "int b;\n" + lines)
	w.git("commit", "-q", "-a", "-m", "long")
	mbox := w.series(lines+"int a1;\n"+lines+"int b1;\n"+lines, lines+"int a2;\n"+lines+"int b2;\n"+lines)
	w.write(lines + "int a;\n" + lines + "int other;\n" + lines)
	w.git("commit", "-q", "-a", "-m", "in the way")
	_, err := w.resolve("git:" + w.tree + "+" + mbox)
	var bad *PatchError
	if !errors.As(err, &bad) || bad.Patch != "patch 1" || !strings.Contains(err.Error(),
		`apply patch "patch 1" of series.mbox: kernel/bpf/token.c:79 does not match (hunk 2 of 2: @@ -79,`) {
		t.Errorf("got %v", err)
	}
	// The error comes before anything is checked out, and without the lock of the tree.
	trees, _ := filepath.Glob(filepath.Join(w.o.CacheDir, "trees", "*", "*"))
	files, _ := filepath.Glob(filepath.Join(w.o.CacheDir, "trees", "*", "src", "[^.]*"))
	locks, _ := filepath.Glob(filepath.Join(w.o.CacheDir, "locks", "tree-*"))
	if len(trees) != 1 || files != nil || locks != nil {
		t.Errorf("left %q, %q, %q", trees, files, locks)
	}
	if _, err := w.resolve("git:" + w.tree + "#HEAD~1+" + mbox); err != nil {
		t.Errorf("where it applies: %v", err)
	}
	empty, text := filepath.Join(t.TempDir(), "empty.mbox"), filepath.Join(t.TempDir(), "text.mbox")
	bare, gnu := filepath.Join(t.TempDir(), "fix.diff"), filepath.Join(t.TempDir(), "gnu.patch")
	hunk := "--- a/kernel/bpf/token.c\n+++ b/kernel/bpf/token.c\n@@ -1 +1 @@\n-//\n+///\n"
	os.WriteFile(bare, []byte("diff --git a/kernel/bpf/token.c b/kernel/bpf/token.c\n"+hunk), 0o644)
	os.WriteFile(gnu, []byte(hunk), 0o644)
	os.WriteFile(empty, nil, 0o644)
	os.WriteFile(text, []byte("From: me\n\nHello.\n"), 0o644)
	for ref, want := range map[string]string{
		"git:" + w.tree + "+" + empty:                "is empty",
		"git:" + w.tree + "+" + text:                 "is not a patch as mail",
		"git:" + w.tree + "+" + bare:                 "fix.diff is a bare diff without mail headers, which git am refuses",
		"git:" + w.tree + "+" + gnu:                  "gnu.patch is a bare diff without mail headers, which git am refuses",
		"git:" + w.tree + "+/nowhere/x.mbox":         "no patch file or directory /nowhere/x.mbox",
		"git:" + w.tree + "+" + filepath.Dir(w.tree): "no *.patch, *.mbox, *.mbx, *.eml, *.diff in the directory",
		"git:" + w.tree + "#nope":                    "no revision nope in",
		"git:" + w.tree + "#":                        "no revision after the #",
		"git:" + filepath.Dir(w.tree):                "is not a git repository",
		"git:/nowhere":                               "no directory /nowhere",
		"git:":                                       "nothing after the colon",
		"src:stable":                                 "want src:VERSION",
	} {
		var usage *UsageError
		if _, err := w.resolve(ref); !errors.As(err, &usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", ref, err, want)
		}
	}
}

func TestBuildErrors(t *testing.T) {
	w := newYard(t)
	w.write("int x;\n#error broken\n")
	w.git("commit", "-q", "-a", "-m", "does not compile")
	_, err := w.resolve("git:" + w.tree)
	var bad *BuildError
	if !errors.As(err, &bad) || len(bad.Lines) != 3 || bad.Lines[0] != "kernel/bpf/token.c:2:2: error: #error broken" ||
		!strings.Contains(bad.Lines[2], "^~~~~") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(bad.Log); err != nil {
		t.Errorf("the log is not kept: %v", err)
	}
	// The next commit still builds.
	w.write("int x;\n")
	w.git("commit", "-q", "-a", "-m", "fixed")
	if _, err := w.resolve("git:" + w.tree); err != nil || w.heard("interrupted") {
		t.Errorf("fixed: %v, %q", err, w.said)
	}
	// A full disk is the host's fault.
	w.write("#full\n")
	w.git("commit", "-q", "-a", "-m", "too much")
	if _, err := w.resolve("git:" + w.tree); errors.As(err, &bad) || err == nil ||
		!strings.Contains(err.Error(), "the disk was full") {
		t.Errorf("a full disk: %v", err)
	}
}

// An option that olddefconfig drops is an error with the line and the reason.
func TestConfigLost(t *testing.T) {
	w := newYard(t)
	f, err := kconfig.ParseFragment("mine.config", []byte("CONFIG_NET=y\nCONFIG_DROPPED=y\n"))
	if err != nil {
		t.Fatal(err)
	}
	w.o.Build.Fragments = []*kconfig.Fragment{f}
	_, err = w.resolve("git:" + w.tree)
	var lost *ConfigError
	if !errors.As(err, &lost) || len(lost.Lost) != 1 ||
		lost.Lost[0] != "mine.config:2: want CONFIG_DROPPED=y, it is not there: Kconfig:1: it depends on NOTHING" {
		t.Errorf("got %v", err)
	}
	// From a whole configuration the same.
	config := filepath.Join(t.TempDir(), "config")
	os.WriteFile(config, []byte("CONFIG_OLD=y\n"), 0o644)
	w.o.Build = BuildOptions{Config: config, Fragments: w.o.Build.Fragments[:0:0]}
	k, err := w.resolve("git:" + w.tree)
	if err != nil || k.Config.Value("OLD") != "y" {
		t.Errorf("from a .config: %+v, %v", k, err)
	}
}

// A killed build leaves no file that a later build takes for complete.
func TestBuildInterrupted(t *testing.T) {
	w := newYard(t)
	w.write("#wait\n")
	w.git("commit", "-q", "-a", "-m", "slow")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for range 200 {
			if found, _ := filepath.Glob(filepath.Join(w.o.CacheDir, "trees", "*", "waits")); found != nil {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		cancel()
	}()
	start := time.Now()
	if _, err := Resolve(ctx, "git:"+w.tree, w.o); !errors.Is(err, context.Canceled) ||
		!strings.Contains(err.Error(), ": interrupted; compiled files are kept") || time.Since(start) > 20*time.Second {
		t.Fatalf("got %v after %v", err, time.Since(start))
	}
	half, _ := filepath.Glob(filepath.Join(w.o.CacheDir, "trees", "*", "out-*", "token.o"))
	if len(half) != 1 {
		t.Fatalf("the build was to leave half a file: %v", half)
	}
	// A build waits for a compiler that outlives its parent, because the compiler holds the lock.
	left := exec.Command("sleep", "3")
	// The programs that were killed hold it until they are gone, which takes a moment on a busy host.
	soon, late := context.WithTimeout(t.Context(), 10*time.Second)
	defer late()
	lock, err := lockfile.Lock(soon, filepath.Dir(half[0])+".lock", func() {})
	if err != nil {
		t.Fatal(err)
	}
	left.ExtraFiles = []*os.File{lock}
	if err := left.Start(); err != nil {
		t.Fatal(err)
	}
	lock.Close()
	w.write("int fast;\n")
	w.git("commit", "-q", "-a", "-m", "fast")
	_, err = w.resolve("git:" + w.tree)
	if !w.heard("waiting for programs of an interrupted build") || left.Wait() != nil {
		t.Errorf("nothing was waited for: %q", w.said)
	}
	if err != nil || !w.heard("was interrupted") {
		t.Errorf("got %v, %q", err, w.said)
	}
	if _, err := os.Stat(half[0]); err == nil {
		t.Error("half a file is still there")
	}
	if found, _ := filepath.Glob(filepath.Join(w.o.CacheDir, "builds", ".fill-*")); found != nil {
		t.Errorf("left behind: %v", found)
	}
}

// A damaged cache entry is built again.
func TestBuildDamaged(t *testing.T) {
	w := newYard(t)
	k, err := w.resolve("git:" + w.tree)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(k.Image, []byte("damaged"), 0o644); err != nil {
		t.Fatal(err)
	}
	again, err := w.resolve("git:" + w.tree)
	if err != nil || again.Digest != k.Digest || !w.heard("is damaged") {
		t.Errorf("got %+v, %v, %q", again, err, w.said)
	}
}

func TestToolchainMissing(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	_, err := findToolchain(t.Context(), host, nil)
	if err == nil || !strings.Contains(err.Error(), "this host has no make, gcc, ld") ||
		!strings.Contains(err.Error(), "apt-get install -y make gcc binutils flex") {
		t.Errorf("got %v", err)
	}
}

func TestComplaints(t *testing.T) {
	for _, tt := range []struct{ log, want string }{
		{"  CC x.o\n../src/a.c: In function 'f':\n/s/a.c:3:2: error: oops\n    3 | oops\n      | ^~~~\nmake[2]: *** [x.o] " +
			"Error 1\n", "a.c:3:2: error: oops|    3 | oops|      | ^~~~"},
		{"ld: vmlinux.o: in function `f':\na.c:(.text+0x5): undefined reference to `g'\nmake: *** [vmlinux] Error 1\n",
			"ld: vmlinux.o: in function `f':|a.c:(.text+0x5): undefined reference to `g'"},
		{"make[1]: *** No rule to make target 'x'.  Stop.\n", "make[1]: *** No rule to make target 'x'.  Stop."},
		{"FAILED: load BTF from vmlinux: Invalid argument\nmake: *** x\n", "FAILED: load BTF from vmlinux: Invalid argument"},
		{"something else\n", "something else|"},
	} {
		if got := strings.Join(complaintsOf(tt.log, "/s", "/o"), "|"); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
	many := complaintsOf(strings.Repeat("a.c:1:1: error: x\n", 9), "/s", "/o")
	if len(many) != 5 || many[4] != "and 5 more" {
		t.Errorf("got %q", many)
	}
}

func TestCutPatches(t *testing.T) {
	dir := t.TempDir()
	plus := filepath.Join(dir, "demo+words.mbox")
	if err := os.WriteFile(plus, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for s, want := range map[string]string{
		"6.12.117-1~bpo12+1":         "6.12.117-1~bpo12+1",
		"6.12+a.mbox":                "6.12 a.mbox",
		"6.12-1~bpo12+1+a.mbox+dir/": "6.12-1~bpo12+1 a.mbox dir/",
		"/x+y/linux#v6+fix+p.patch":  "/x+y/linux#v6+fix p.patch",
		"6.12+" + dir:                "6.12 " + dir,
		"6.12+" + plus:               "6.12 " + plus,
		"6.12+a.mbox+" + plus:        "6.12 a.mbox " + plus,
	} {
		rest, patches := cutPatches(s)
		if got := strings.Join(append([]string{rest}, patches...), " "); got != want {
			t.Errorf("%s: got %q, want %q", s, got, want)
		}
	}
}

// A configuration may begin with files of the source, and objects may be kept
// for all configurations.
func TestBuildFromTreeConfig(t *testing.T) {
	w := newYard(t)
	for name, text := range map[string]string{"one.config": "CONFIG_OLD=y\nCONFIG_TWICE=y\n",
		"two.config": "CONFIG_NEW=y\n# CONFIG_TWICE is not set\n"} {
		if err := os.WriteFile(filepath.Join(w.tree, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	w.git("add", "-A")
	w.git("commit", "-q", "-m", "configs")
	w.o.Build.Config, w.o.Build.Objects = ":one.config+two.config", "shared"
	k, err := w.resolve("git:" + w.tree)
	if err != nil || k.Config.Value("OLD") != "y" || k.Config.Value("NEW") != "y" || k.Config.Value("TWICE") != "n" {
		t.Fatalf("got %+v, %v", k, err)
	}
	w.o.Build.Config = ""
	if _, err := w.resolve("git:" + w.tree); err != nil {
		t.Fatal(err)
	}
	if dirs, _ := filepath.Glob(filepath.Join(w.o.CacheDir, "trees", "*", "out-*")); len(dirs) != 2 { // and its lock
		t.Errorf("two configurations have objects in %q, want one directory", dirs)
	}
	w.o.Build.Config = ":none.config"
	var bad *UsageError
	if _, err := w.resolve("git:" + w.tree); !errors.As(err, &bad) || !strings.Contains(err.Error(), "none.config") {
		t.Errorf("got %v, want an error that names the file", err)
	}
}

// Of three builds at once the third says that it waits.
func TestThirdBuildWaits(t *testing.T) {
	w := newYard(t)
	c := cache{w.o.CacheDir}
	var unlock []func()
	for _, name := range []string{"build0", "build1"} {
		_, u, err := c.lock(t.Context(), name, Options{})
		if err != nil {
			t.Fatal(err)
		}
		unlock = append(unlock, u)
	}
	time.AfterFunc(time.Second, unlock[0])
	if _, err := w.resolve("git:" + w.tree); err != nil {
		t.Fatal(err)
	}
	unlock[1]()
	if !w.heard("waiting for one of the two other kernel builds") {
		t.Errorf("said %q", w.said)
	}
}
