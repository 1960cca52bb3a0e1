package kernel

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// sourceRef is a parsed reference to a source: src:VERSION, git:DIR#REV or tree:DIR, with patches.
type sourceRef struct {
	scheme  string // "src", "git" or "tree"
	name    string // the version, or the directory
	rev     string // of git
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
		i := strings.LastIndexByte(s, '+')
		if i < 0 || !isPatch(s[i+1:]) {
			slices.Reverse(patches)
			return s, patches
		}
		s, patches = s[:i], append(patches, s[i+1:])
	}
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
	switch filepath.Ext(s) {
	case ".mbox", ".mbx", ".patch", ".diff", ".eml":
		return true
	}
	_, err := os.Stat(expandHome(s))
	return s != "" && (strings.HasSuffix(s, "/") || err == nil)
}

// patchFiles lists the patch files in the order in which they apply: those of a directory by name,
// as format-patch numbers them.
func patchFiles(ref string, patches []string) ([]string, error) {
	var out []string
	for _, p := range patches {
		entries, err := os.ReadDir(p)
		if err != nil { // a file
			abs, err := filepath.Abs(p)
			if err != nil {
				return nil, err
			}
			out = append(out, abs)
			continue
		}
		n := len(out)
		for _, e := range entries {
			if ext := filepath.Ext(e.Name()); e.Type().IsRegular() && (ext == ".patch" || ext == ".mbox" || ext == ".eml") &&
				!strings.HasPrefix(e.Name(), "0000-") {
				abs, err := filepath.Abs(filepath.Join(p, e.Name()))
				if err != nil {
					return nil, err
				}
				out = append(out, abs)
			}
		}
		if len(out) == n {
			return nil, &UsageError{Ref: ref, Reason: "no *.patch in the directory " + p}
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
	case !strings.Contains(string(text), "\ndiff --git ") && !strings.Contains(string(text), "\n--- "):
		return nil, &UsageError{Ref: ref,
			Reason: path + " is not a patch as mail: it contains no diff (git format-patch and b4 write patches as mail)"}
	}
	return text, nil
}
