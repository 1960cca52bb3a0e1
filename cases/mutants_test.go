package cases

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every regression that the kernel patch can switch on is named in the list
// that scripts/mutants.sh goes through, and the other way round.
func TestMutantsAreListed(t *testing.T) {
	patches, err := filepath.Glob(filepath.Join("testdata", "mutants", "*.patch"))
	if err != nil || len(patches) == 0 {
		t.Fatalf("%d patches, %v", len(patches), err)
	}
	for _, name := range patches {
		in, listed := map[string]bool{}, map[string]bool{}
		for _, line := range strings.Split(readText(t, name), "\n") {
			if !strings.HasPrefix(line, "+") || strings.HasPrefix(line, "+#define") {
				continue
			}
			for _, m := range regexp.MustCompile(`\bMUTS?\((\d+)`).FindAllStringSubmatch(line, -1) {
				in[m[1]] = true
			}
		}
		list := strings.TrimSuffix(name, ".patch") + ".txt"
		for _, line := range strings.Split(strings.TrimSpace(readText(t, list)), "\n") {
			number, what, ok := strings.Cut(line, "\t")
			number, _, _ = strings.Cut(number, "+")
			if !ok || what == "" || listed[number] {
				t.Errorf("%s: %q is not NUMBER, a tab, and what is wrong, or is there twice", list, line)
			}
			listed[number] = true
			if !in[number] {
				t.Errorf("%s: %s switches nothing on", list, number)
			}
		}
		for number := range in {
			if !listed[number] {
				t.Errorf("%s: %s is not in the list", name, number)
			}
		}
	}
}

func readText(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
