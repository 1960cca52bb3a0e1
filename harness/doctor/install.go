package doctor

import (
	"os"
	"runtime"
	"slices"
	"strings"

	"tokentest/harness/arch"
)

// own is the architecture of this host.
var own = arch.Or(arch.Find(runtime.GOARCH))

// installers say for each distribution, by the ID of its os-release, how
// packages are installed and what those that are wanted are called. QEMU's are in harness/arch.
var installers = map[string]struct {
	command  string
	packages map[string]string // by program
}{
	"debian": {"apt-get install -y", map[string]string{"go": "golang-go",
		"apt-get": "apt", "dpkg-deb": "dpkg"}},
	"fedora": {"dnf install -y", map[string]string{"go": "golang",
		"apt-get": "apt", "dpkg-deb": "dpkg"}},
	"arch": {"pacman -S --needed", map[string]string{"go": "go",
		"dpkg-deb": "dpkg"}},
	"suse": {"zypper install", map[string]string{"go": "go", "dpkg-deb": "dpkg"}},
	"alpine": {"apk add", map[string]string{"go": "go", "apt-get": "apt",
		"dpkg-deb": "dpkg"}},
}

// distribution is the one whose packages this host uses, or "", and its version.
func distribution() (id, version string) {
	text, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "", ""
	}
	return family(string(text)), variables(string(text))["VERSION_ID"]
}

// variables are the values of os-release.
func variables(text string) map[string]string {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[key] = strings.Trim(value, `"'`)
	}
	return values
}

// family finds a known distribution in os-release: the host's own, or one that
// it says it is like.
func family(text string) string {
	values := variables(text)
	for _, id := range append([]string{values["ID"]}, strings.Fields(values["ID_LIKE"])...) {
		if _, known := installers[id]; known {
			return id
		}
	}
	return ""
}

// Install is one line that installs every program that is missing, with the package manager of
// this host's distribution; "" if nothing is missing or the distribution is unknown.
func Install(list []Finding) string {
	id, version := distribution()
	return installs(list, id, version)
}

func installs(list []Finding, id, version string) string {
	how, known := installers[id]
	var names []string
	for _, f := range list {
		name := how.packages[f.What]
		if f.What == own.QEMU.Program {
			name = own.QEMU.Package(id, version)
		}
		if f.Fix != "" && name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
		if id == "debian" { // of the others nobody has tried the names
			names = append(names, f.packages...)
		}
	}
	if !known || len(names) == 0 {
		return ""
	}
	return how.command + " " + strings.Join(names, " ")
}
