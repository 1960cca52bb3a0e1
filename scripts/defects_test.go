package scripts

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each defect has a report in results, with the words and the program that stand here: make defects writes them.
func TestDefects(t *testing.T) {
	texts, _ := filepath.Glob("defects/*.txt")
	if len(texts) < 7 {
		t.Fatalf("%d defects", len(texts))
	}
	for _, name := range texts {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		_, body, _ := strings.Cut(string(text), "\n\n")
		base := strings.TrimSuffix(filepath.Base(name), ".txt")
		mail, err := os.ReadFile(filepath.Join("../results/defects", base+".mail"))
		if err != nil || !strings.Contains(string(mail), body) {
			t.Errorf("%s.mail is not what %s says (%v): run make defects", base, name, err)
		}
		own, err := os.ReadFile(filepath.Join("defects", base+".c"))
		if err != nil {
			continue // the writer of programs makes it
		}
		for _, where := range []string{base + ".c", base + ".mail"} {
			if got, err := os.ReadFile(filepath.Join("../results/defects", where)); err != nil ||
				!strings.Contains(string(got), string(own)) {
				t.Errorf("%s lacks defects/%s.c (%v): run make defects", where, base, err)
			}
		}
	}
}
