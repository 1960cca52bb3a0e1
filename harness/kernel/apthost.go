package kernel

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"tokentest/harness/arch"
	"tokentest/harness/cachedir"
)

// MirrorVariable is the environment variable that names a mirror of Debian's archive and, after a space, one of its
// security archive, for hosts whose apt has none.
const MirrorVariable = "TOKENTEST_MIRROR"

// otherRefs ends the errors of hosts that cannot fetch packages.
const otherRefs = "use another reference: the path of an image, tree:DIR, git:DIR#REV, oci:IMAGE or host"

// LackError means that this host cannot fetch packages.
type LackError struct {
	What string // is missing
	Fix  string // what to do
}

func (e *LackError) Error() string {
	return fmt.Sprintf("deb: and src: kernels need %s, which this host does not have: %s, or %s", e.What, e.Fix, otherRefs)
}

// newApt finds the programs and the keyring, and makes the private state's directories. root is the directory of the
// host's files, "" for its own.
func newApt(dir, root string, of *arch.Arch) (*apt, error) {
	a := &apt{dir: dir, arch: of, conf: filepath.Join(dir, "apt.conf"), keyring: findKeyring(root)}
	var lost []string
	for _, need := range []string{"apt-get", "dpkg-deb"} {
		if _, err := exec.LookPath(need); err != nil {
			lost = append(lost, need)
		}
	}
	if a.helper = findHelper(root); a.helper == "" && len(lost) == 0 {
		lost = append(lost, "apt-helper")
	}
	switch {
	case len(lost) > 0:
		return nil, &LackError{strings.Join(lost, " and "),
			"install the packages apt, dpkg and debian-archive-keyring (debian-keyring on Fedora)"}
	case a.keyring == "" && osID(root) != "debian":
		return nil, &LackError{"the keyring of Debian's archive",
			"install the package debian-archive-keyring (debian-keyring on Fedora)"}
	}
	for _, d := range []string{"lists/partial", "cache/archives/partial", "none"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, fmt.Errorf("make apt's state: %w", err)
		}
	}
	if err := cachedir.Hold(dir); err != nil {
		return nil, fmt.Errorf("make apt's state: %w", err)
	}
	return a, nil
}

// findHelper is the path of apt-helper, which is outside of PATH by design; "" if there is none.
func findHelper(root string) string {
	if path, err := exec.LookPath("apt-helper"); err == nil {
		return path
	}
	for _, dir := range []string{"/usr/lib/apt", "/usr/libexec/apt", "/usr/lib64/apt"} {
		path := filepath.Join(root, dir, "apt-helper")
		if _, err := exec.LookPath(path); err == nil {
			return path
		}
	}
	return ""
}

// findKeyring is the path of debian-archive-keyring's keys. Debian itself trusts them without it; apt takes nothing
// unsigned anyway.
func findKeyring(root string) string {
	for _, name := range []string{"debian-archive-keyring.pgp", "debian-archive-keyring.gpg"} {
		path := filepath.Join(root, "/usr/share/keyrings", name)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}

var idField = regexp.MustCompile(`(?m)^ID="?([a-z0-9._-]+)"?$`)

// osID is the distribution's ID in os-release(5), "" if it has none.
func osID(root string) string {
	for _, name := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		text, err := os.ReadFile(filepath.Join(root, name))
		if m := idField.FindSubmatch(text); err == nil && m != nil {
			return string(m[1])
		}
	}
	return ""
}

// PackageSource says where packages of Debian's archive come from and which keys verify them, or why this host cannot
// fetch them. It uses no network.
func PackageSource(ctx context.Context, o Options) (string, error) {
	dir, err := o.cacheDir()
	if err != nil {
		return "", err
	}
	a, err := newApt(filepath.Join(dir, "apt"), o.root, arch.Default)
	if err != nil {
		return "", err
	}
	m, err := a.mirror(ctx)
	if err != nil {
		return "", err
	}
	return m.main + ", verified by " + cmp.Or(a.keyring, "the keys of this host's apt"), nil
}

var archiveForm = regexp.MustCompile(`^[a-z][a-z0-9+]*:/\S+$`)

// namedMirror reads the variable.
func namedMirror(text string) (mirror, error) {
	f := strings.Fields(text)
	for _, address := range f {
		if len(f) > 2 || !archiveForm.MatchString(address) {
			return mirror{}, fmt.Errorf("%s=%q: must be the address of a mirror of Debian's archive, and after a space that of "+
				"one of its security archive", MirrorVariable, text)
		}
	}
	switch len(f) {
	case 0:
		return mirror{}, fmt.Errorf("%s is blank", MirrorVariable)
	case 1:
		return mirror{main: f[0]}, nil
	}
	return mirror{main: f[0], security: f[1]}, nil
}

// mirror holds the addresses of Debian's two archives.
type mirror struct{ main, security string }

func (m mirror) root(suite string) string {
	if strings.HasSuffix(suite, "-security") {
		return m.security
	}
	return m.main
}

// mirror reads the host's configuration without its package lists, because apt would parse them
// first, for a second or more. Without release files apt lists targets only with
// --no-release-info.
func (a *apt) mirror(ctx context.Context) (mirror, error) {
	if named := os.Getenv(MirrorVariable); named != "" {
		return namedMirror(named)
	}
	none := filepath.Join(a.dir, "none")
	out, err := run(command(ctx, "apt-get",
		"-o", "Dir::State::lists="+none, "-o", "Dir::State::status=/dev/null", "-o", "Dir::Cache="+none,
		"--no-release-info", "indextargets", "--format", "$(RELEASE)|$(COMPONENT)|$(REPO_URI)", "Created-By: Packages"))
	if err != nil {
		return mirror{}, fmt.Errorf("ask apt for its mirror: %w", err)
	}
	m := parseMirror(out)
	if m.main == "" {
		return m, &LackError{"a mirror of Debian's archive among the sources of apt", "name one in " + MirrorVariable}
	}
	return m, nil
}

// parseMirror returns the first archive with a Debian suite. It prefers an archive with Debian's
// path, because third parties use Debian's suite names too.
func parseMirror(targets string) (m mirror) {
	for line := range strings.Lines(targets) {
		f := strings.Split(strings.TrimSpace(line), "|")
		if len(f) != 3 || f[1] != "main" || strings.HasPrefix(f[2], "cdrom:") ||
			!isSuite(pocket.ReplaceAllString(f[0], "")) && !ownArchive.MatchString(f[2]) {
			continue
		}
		where := &m.main
		if strings.HasSuffix(f[0], "-security") || strings.HasSuffix(f[0], "/updates") {
			where = &m.security
		}
		if *where == "" || !ownArchive.MatchString(*where) && ownArchive.MatchString(f[2]) {
			*where = f[2]
		}
	}
	return m
}

var (
	pocket     = regexp.MustCompile(`(-updates|-proposed-updates|-security|-backports|/updates)$`)
	ownArchive = regexp.MustCompile(`/debian(-security)?/?$`) // the path that Debian asks its mirrors to have
)
