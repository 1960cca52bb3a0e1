package shell

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// A shell reads back every word as it was.
func TestJoinIsReadBack(t *testing.T) {
	words := []string{
		"plain", "", "a b", "it's", `"$HOME"`, "a;b|c&d", "*", "[a]?", "back\\slash", "new\nline", "tab\tand 'quote'",
		"ünï", "bad\xffutf8", "\x1b[1m", "a,b=c", "#x", "~", "!x", "{a,b}", "if", "-n", "map_create/*",
	}
	out, err := exec.Command("/bin/sh", "-c", `printf '%s\0' `+Join(words...)).Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00"); !slices.Equal(got, words) {
		t.Errorf("got  %q\nwant %q", got, words)
	}
}

// A word that means itself has no quotes.
func TestQuoteLeavesPlainWords(t *testing.T) {
	for _, word := range []string{"deb:6.12", "map_create/cmds+maps/CAP_BPF/hash", "--kernel", "git:/src/linux#v6.12~1",
		"a,b@c"} {
		got := Quote(word)
		if strings.ContainsAny(word, "#~") {
			if got != "'"+word+"'" {
				t.Errorf("%s became %s", word, got)
			}
			continue
		}
		if got != word {
			t.Errorf("%s became %s", word, got)
		}
	}
}
