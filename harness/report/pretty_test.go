package report

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"tokentest/harness/result"
)

var (
	lead   = regexp.MustCompile(`^ *(?:[a-z]+ {2,}|results in |to continue: tokentest run --resume )?`)
	quoted = regexp.MustCompile(`'[^']*'|"(?:[^"\\]|\\.)*"`)
)

// TestPrettyWidth lets no line be longer than asked, but for a single word.
func TestPrettyWidth(t *testing.T) {
	for _, f := range fixtures {
		for _, width := range []int{40, 80, 200} {
			for _, line := range strings.Split(render(t, "pretty", f.run(), Options{Width: width}), "\n") {
				word := quoted.ReplaceAllString(line, "'x'")
				word = strings.TrimSuffix(strings.TrimPrefix(word, lead.FindString(word)), ` \`)
				word = strings.TrimPrefix(word, "--kernel ")
				if utf8.RuneCountInString(line) > width && strings.Contains(word, " ") {
					t.Errorf("%s at %d columns: %q", f.name, width, line)
				}
			}
		}
	}
}

// TestPrettyColor stresses words and changes nothing else.
func TestPrettyColor(t *testing.T) {
	codes := regexp.MustCompile("\x1b\\[[0-9;]*m")
	for _, f := range fixtures {
		for _, width := range []int{40, 80} {
			text := render(t, "pretty", f.run(), Options{Width: width, Color: true})
			if got, want := codes.ReplaceAllString(text, ""), render(t, "pretty", f.run(), Options{Width: width}); got != want {
				t.Errorf("%s: without codes:\n%s\nwant:\n%s", f.name, got, want)
			}
			if n := strings.Count(text, "\x1b[0m"); n == 0 || 2*n != strings.Count(text, "\x1b[") {
				t.Errorf("%s: codes are left open:\n%q", f.name, text)
			}
		}
	}
}

// TestPrettyShort keeps good news short.
func TestPrettyShort(t *testing.T) {
	if text := render(t, "pretty", passing(), Options{}); strings.Count(text, "\n") > 7 {
		t.Errorf("an all-pass run takes more than 7 lines:\n%s", text)
	}
}

// TestPrettyNote shows a note on one line when there is room.
func TestPrettyNote(t *testing.T) {
	r := noToken()
	if text := render(t, "pretty", r, Options{Width: 100}); !strings.Contains(text, "\nnote: "+r.Kernels[0].Note+"\n") {
		t.Errorf("no line is the note:\n%s", text)
	}
}

// TestPrettyOrder shows the worst kernel first, and statuses in their order.
func TestPrettyOrder(t *testing.T) {
	text := render(t, "pretty", everything(), Options{})
	at := 0
	for _, s := range []string{"kernel tree:my linux", "FAIL 3 cases", "FAIL 1 case", "BROKEN", "PANICKED", "HUNG",
		"TAINTED", "UNBOOTED", "LOST", "INFRA", "skip 1", "1 pass, 7 fail", "deb:nowhere", "ERROR", "deb:trixie",
		"all 3 kernels"} {
		i := strings.Index(text[at:], s)
		if i < 0 {
			t.Fatalf("%q is not after what is worse:\n%s", s, text[:at])
		}
		at += i
	}
}

// TestPrettyGroups tells one cause once, by its smallest case.
func TestPrettyGroups(t *testing.T) {
	text := render(t, "pretty", brokenControls(), Options{Width: 200})
	for _, s := range []string{
		"BROKEN 40 cases: the guest could not set it up: actor owner", "example  map_create/control/0\n",
		"BROKEN 20 cases: control map_create/control/0 must be allowed and got EPERM\n",
		"BROKEN 1 case: got EPERM, want ok\n",
		"BROKEN 6 cases for 6 other reasons",
	} {
		if !strings.Contains(text, s) {
			t.Errorf("%q is missing in:\n%s", s, text)
		}
	}
}

// TestRepeatSurvivesShell has a shell read the repeat lines, broken ones too.
func TestRepeatSurvivesShell(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no sh: ", err)
	}
	for _, ref := range []string{"deb:trixie", "tree:my linux", "it's $HOME `id` \\ \"x\" ;|&*?", "-x", "#"} {
		for _, width := range []int{40, 80, 400} {
			k := newKernel(ref, result.CaseResult{ID: "a/b*c", Status: result.Fail, Reason: "why"})
			text := render(t, "pretty", newRun(k), Options{Width: width})
			_, line, _ := strings.Cut(text, "repeat ")
			line, _, _ = strings.Cut(line, "\n\n")
			out, err := exec.Command(sh, "-c", `tokentest() { printf '%s\n' "$@"; }; `+line).CombinedOutput()
			if want := "run\na/b*c\n--kernel\n" + ref + "\n"; err != nil || string(out) != want {
				t.Errorf("%s\ngives %q (%v), want %q", line, out, err, want)
			}
		}
	}
}

// What was added to the kernel's command line belongs to what repeats a failure.
func TestRepeatAppends(t *testing.T) {
	k := newKernel("deb:6.12", result.CaseResult{ID: "a/b", Status: result.Fail, Reason: "why"})
	k.Append = []string{"bpf_mutant=7", "a b"}
	r := newRun(k)
	for _, format := range []string{"pretty", "ktap", "mail"} {
		got := strings.Join(strings.Fields(render(t, format, r, Options{})), " ")
		if !strings.Contains(got, "--append 'bpf_mutant=7'") || !strings.Contains(got, "--append 'a b'") {
			t.Errorf("%s: the repeat lines leave out what was appended:\n%s", format, got)
		}
	}
}
