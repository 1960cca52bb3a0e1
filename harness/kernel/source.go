package kernel

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"tokentest/harness/arch"
	"tokentest/harness/cachedir"
)

// sourceRef is a parsed reference to a source: src:VERSION, git:DIR#REV or tree:DIR, with patches.
type sourceRef struct {
	scheme  string     // "src", "git" or "tree"
	name    string     // the version, or the directory
	rev     string     // of git
	arch    *arch.Arch // src:VERSION/ARCH; nil is none
	patches []string
}

// isSource reports whether a reference names a source, not an image.
func isSource(ref string) bool {
	scheme, _, ok := strings.Cut(ref, ":")
	return ok && (scheme == "src" || scheme == "git" || scheme == "tree")
}

// IsBuilt reports whether Resolve builds a reference. A tree without patches is built already.
func IsBuilt(ref string) bool {
	_, patches := cutPatches(ref)
	return isSource(ref) && (!strings.HasPrefix(ref, "tree:") || len(patches) > 0)
}

func parseSource(ref string) (sourceRef, error) {
	scheme, rest, _ := strings.Cut(ref, ":")
	r := sourceRef{scheme: scheme}
	rest, r.patches = cutPatches(rest)
	if i := strings.LastIndexByte(rest, '+'); scheme == "src" && i >= 0 && pathForm.MatchString(rest[i+1:]) {
		rest, r.patches = rest[:i], append([]string{rest[i+1:]}, r.patches...) // it does not exist, as check says
	}
	switch scheme {
	case "git":
		dir, rev, given := strings.Cut(rest, "#")
		if given && rev == "" {
			return r, &UsageError{Ref: ref, Reason: "no revision after the #"}
		}
		r.name, r.rev = dir, rev
		if rev == "" {
			r.rev = "HEAD"
		}
	case "src":
		name, of, foreign := strings.Cut(rest, "/")
		if r.arch = arch.Find(of); foreign && r.arch == nil {
			return r, noArch(of)
		}
		r.name = name
	default:
		r.name = rest
	}
	return r, r.check(ref)
}

// check refuses missing directories and patches early.
func (r *sourceRef) check(ref string) error {
	if r.name == "" {
		return &UsageError{Ref: ref, Reason: "nothing after the colon; a kernel is " + Forms}
	}
	if r.scheme == "src" && !versionForm.MatchString(r.name) {
		return &UsageError{Ref: ref, Reason: "want src:VERSION, such as src:6.12"}
	}
	if r.scheme != "src" {
		r.name = expandHome(r.name)
		if stat, err := os.Stat(r.name); err != nil || !stat.IsDir() {
			return &UsageError{Ref: ref, Reason: "no directory " + r.name}
		}
	}
	for i, p := range r.patches {
		r.patches[i] = expandHome(p)
		if _, err := os.Stat(r.patches[i]); err != nil {
			return &UsageError{Ref: ref, Reason: "no patch file or directory " + p}
		}
	}
	return nil
}

// expandHome expands a ~ that is not at the beginning of a shell's word.
func expandHome(path string) string {
	rest, ok := strings.CutPrefix(path, "~/")
	home, err := os.UserHomeDir()
	if !ok || err != nil {
		return path
	}
	return filepath.Join(home, rest)
}

// cutPatches cuts the patches, which follow plus signs, from the end. A version or a directory may
// contain a plus sign too.
func cutPatches(s string) (rest string, patches []string) {
	for {
		i := lastPatch(s)
		if i < 0 {
			slices.Reverse(patches)
			return s, patches
		}
		s, patches = s[:i], append(patches, s[i+1:])
	}
}

// lastPatch is the index of the plus sign before the last patch; -1 is none. The name of a file that exists may
// contain plus signs.
func lastPatch(s string) int {
	last := strings.LastIndexByte(s, '+')
	for i := last; i >= 0; i = strings.LastIndexByte(s[:i], '+') {
		if _, err := os.Stat(expandHome(s[i+1:])); err == nil && s[i+1:] != "" {
			return i
		}
	}
	if last < 0 || !isPatch(s[last+1:]) {
		return -1
	}
	return last
}

// refusePatches is the error for patches on a kernel that is not built from source, nil if there are none.
func refusePatches(ref string) error {
	rest, patches := cutPatches(ref)
	if patches == nil {
		i := strings.LastIndexByte(ref, '+')
		if i < 0 || !pathForm.MatchString(ref[i+1:]) {
			return nil
		}
		rest, patches = ref[:i], []string{ref[i+1:]}
	}
	bad := &UsageError{Ref: ref, Advised: true,
		Reason: "patches need a source: use src:VERSION, git:DIR#REV or tree:DIR before the +"}
	if v, ok := strings.CutPrefix(rest, "deb:"); ok && releaseForm.MatchString(v) {
		bad.Near = []string{"src:" + v + "+" + strings.Join(patches, "+")}
	}
	return bad
}

var (
	pathForm    = regexp.MustCompile(`^(/|~/|\.\.?/)`) // the beginning of a path that need not exist
	releaseForm = regexp.MustCompile(`^[0-9]+\.[0-9]+(\.[0-9]+)?$`)
)

func isPatch(s string) bool {
	if slices.Contains(patchForms, filepath.Ext(s)) {
		return true
	}
	_, err := os.Stat(expandHome(s))
	return s != "" && (strings.HasSuffix(s, "/") || err == nil)
}

// coverName matches the names that format-patch gives to cover letters, of any version of a series.
var coverName = regexp.MustCompile(`^(?:v[^-]+-)?0+-`)

// patchFiles lists the patch files in the order in which they apply: those of a directory by name,
// as format-patch numbers them, or those of a maildir.
func patchFiles(ref string, patches []string) ([]string, error) {
	var out []string
	for _, p := range patches {
		p, err := filepath.Abs(p)
		if err != nil {
			return nil, err
		}
		if info, err := os.Stat(p); err != nil || !info.IsDir() {
			out = append(out, p)
			continue
		}
		list, err := patchesOf(p)
		if err != nil {
			return nil, err
		}
		if len(list) == 0 {
			return nil, &UsageError{Ref: ref, Reason: "no *" + strings.Join(patchForms, ", *") + " in the directory " + p}
		}
		out = append(out, list...)
	}
	return out, nil
}

// patchForms are the names' ends of patches.
var patchForms = []string{".patch", ".mbox", ".mbx", ".eml", ".diff"}

func patchesOf(dir string) ([]string, error) {
	var out []string
	for _, sub := range []string{"", "new", "cur"} { // the last two are those of a maildir
		entries, err := os.ReadDir(filepath.Join(dir, sub))
		if err != nil && sub != "" {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			named := slices.Contains(patchForms, filepath.Ext(e.Name())) || sub != ""
			if e.Type().IsRegular() && named && !coverName.MatchString(e.Name()) {
				out = append(out, filepath.Join(dir, sub, e.Name()))
			}
		}
	}
	return out, nil
}

// readable reads a patch; its error says why it cannot be applied.
func readable(ref, path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, &UsageError{Ref: ref, Reason: "no right to read the patch " + path}
	case err != nil:
		return nil, err
	case len(text) == 0:
		return nil, &UsageError{Ref: ref, Reason: "the patch " + path + " is empty"}
	case !isMail(text) && hasDiff.Match(text):
		return nil, &UsageError{Ref: ref, Reason: path + " is a bare diff without mail headers, which git am refuses: " +
			"commit it and use git format-patch"}
	case !hasDiff.Match(text) && !encoded.Match(text):
		return nil, &UsageError{Ref: ref,
			Reason: path + " is not a patch as mail: it contains no diff (git format-patch and b4 write patches as mail)"}
	}
	return text, nil
}

var (
	hasDiff    = regexp.MustCompile(`(?m)^(?:diff --git |Index: |--- )`)
	encoded    = regexp.MustCompile(`(?mi)^Content-Transfer-Encoding: *(?:base64|quoted-printable)`)
	mailStart  = regexp.MustCompile(`^(?:From |# HG changeset patch|# This series applies on GIT commit)`)
	mailHeader = regexp.MustCompile(`^[!-9;-~]+:`)
	stgitStart = regexp.MustCompile(`^[^\n]*\n\n(?:From|Author|Date): `)
)

// isMail reports whether git am takes a text for mail, or for a patch of stgit or Mercurial: see detect_patch_format
// and is_mail of git's builtin/am.c.
func isMail(text []byte) bool {
	start := strings.TrimLeft(string(text), "\r\n")
	if mailStart.MatchString(start) || stgitStart.MatchString(start) {
		return true
	}
	for n, line := range strings.Split(start, "\n") {
		line = strings.TrimRight(line, "\r")
		switch {
		case line == "":
			return n > 0
		case n > 0 && (line[0] == ' ' || line[0] == '\t'):
		case !mailHeader.MatchString(line):
			return false
		}
	}
	return true
}

// TreeOf is where the sources are that a kernel was built from, by its reference and Kernel.Source; "" if none are
// here.
func TreeOf(ref, source, cacheDir string) string {
	if !isSource(ref) {
		return ""
	}
	r, err := parseSource(ref)
	if err != nil {
		return ""
	}
	if r.scheme != "src" {
		return r.name
	}
	if cacheDir == "" {
		if cacheDir, err = cachedir.Default(); err != nil {
			return ""
		}
	}
	source, _, _ = strings.Cut(source, " with ")
	name, version, _ := strings.Cut(source, " ")
	tree := filepath.Join(cacheDir, "trees", name+"_"+version, "src")
	if _, err := os.Stat(tree); err != nil {
		return ""
	}
	return tree
}
