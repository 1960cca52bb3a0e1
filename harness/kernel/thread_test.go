package kernel

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A thread as lore.kernel.org gives it: a cover letter, replies, patches out of order, and an older version.
func TestThread(t *testing.T) {
	w := newYard(t)
	text, err := os.ReadFile(w.series("int one;\n", "int two;\n"))
	if err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(w.series("int old;\n", "int older;\n"))
	if err != nil {
		t.Fatal(err)
	}
	split := func(text string) []string {
		return regexp.MustCompile(`(?m)^From [0-9a-f]{40} .*\n`).Split(text, -1)[1:]
	}
	v2 := func(mail string) string { return strings.Replace(mail, "[PATCH ", "[PATCH v2 ", 1) }
	const from = "From mboxrd@z Thu Jan  1 00:00:00 1970\n"
	head := "From: a <a@b.c>\nDate: Thu, 1 Jan 2026 00:00:00 +0000\nMessage-ID: <%@b.c>\n"
	mails, olds := split(string(text)), split(string(old))
	thread := strings.Join([]string{"",
		strings.Replace(head, "%", "c1", 1) + "Subject: [PATCH 0/2] x\n\nAll.\n\n",
		olds[0], olds[1],
		strings.Replace(head, "%", "c", 1) + "Subject: [PATCH v2 0/2] x\n\nAll of it.\n\n",
		v2(mails[1]),
		strings.Replace(head, "%", "r", 1) + "Subject: Re: [PATCH v2 2/2] patch 2\n\n> --- a/kernel/bpf/token.c\n" +
			"> +++ b/kernel/bpf/token.c\n\nReviewed-by: b <b@b.c>\n\n",
		v2(mails[0]),
	}, from)
	path := filepath.Join(t.TempDir(), "t.mbox")
	if err := os.WriteFile(path, []byte(thread), 0o644); err != nil {
		t.Fatal(err)
	}
	k, err := w.resolve("git:" + w.tree + "#HEAD+" + path)
	if err != nil || !strings.HasSuffix(imageText(t, k), "int two;\n") {
		t.Errorf("%v", err)
	}
}

// What b4 am takes from a thread, and what git am takes as it stands. The answers are those of b4 0.12, but for the
// patch that is missing: b4 reports that and leaves it out.
func TestSeriesOf(t *testing.T) {
	patch := func(id, subject, answers string) *letter {
		text := "From: a <a@b.c>\nMessage-ID: <" + id + ">\nSubject: " + subject + "\n"
		if answers != "" {
			text += "In-Reply-To: <" + answers + ">\n"
		}
		return readLetter([]byte(text + "\nWords.\n\ndiff --git a/f b/f\n"))
	}
	for _, tt := range []struct {
		name    string
		letters []*letter
		want    string // "" is: as they stand
	}{
		{"an answer with a diff", []*letter{patch("1", "[PATCH 1/2] one", ""), patch("r", "Re: [PATCH 1/2] one", "1"),
			patch("2", "[PATCH 2/2] two", "1")}, "1 2"},
		{"one patch and an answer", []*letter{patch("1", "[PATCH] one", ""),
			patch("r", "RE: [PATCH] one", "1")}, "1"},
		{"out of order", []*letter{patch("2", "[RFC PATCH v3 2/2] two", "1"),
			patch("1", "[RFC PATCH v3 1/2] one", "")}, "1 2"},
		{"a cover letter with a diff", []*letter{patch("c", "[PATCH 0/2] all", ""), patch("1", "[PATCH 1/2] one", "c"),
			patch("2", "[PATCH 2/2] two", "c")}, "1 2"},
		{"PATCHv2", []*letter{patch("2", "[PATCHv2 bpf-next 2/2] two", "1"),
			patch("1", "[PATCHv2 bpf-next 1/2] one", "")}, "1 2"},
		{"one patch, two versions", []*letter{patch("2", "[PATCH bpf v2] one", "1"),
			patch("1", "[PATCH bpf] one", "")}, "2"},
		{"a patch is missing", []*letter{patch("3", "[PATCH 3/3] three", "1"),
			patch("1", "[PATCH 1/3] one", "")}, "patch 2/3?"},
		{"the last patch is missing", []*letter{patch("2", "[PATCH 2/3] two", "1"),
			patch("1", "[PATCH 1/3] one", "")}, "patch 3/3?"},
		{"in order", []*letter{patch("1", "[PATCH 1/2] one", ""), patch("2", "[PATCH 2/2] two", "")}, ""},
		{"a part, in order", []*letter{patch("2", "[PATCH 2/3] two", ""), patch("3", "[PATCH 3/3] three", "")}, ""},
		{"two series", []*letter{patch("1", "[PATCH 1/2] one", ""), patch("2", "[PATCH 2/2] two", ""),
			patch("3", "[PATCH 1/2] three", ""), patch("4", "[PATCH 2/2] four", "")}, ""},
		{"series of other versions", []*letter{patch("1", "[PATCH v2 1/1] one", ""),
			patch("2", "[PATCH 1/1] two", "")}, ""},
		{"no numbers", []*letter{patch("1", "one", ""), patch("2", "two", "")}, ""},
		{"an encoded subject", []*letter{patch("2", "=?utf-8?q?=5BPATCH_2/2=5D_zwei?=", ""),
			patch("1", "[PATCH 1/2] one", "")}, "1 2"},
	} {
		series, lost := seriesOf(tt.letters)
		var got []string
		for _, l := range series {
			got = append(got, strings.Trim(l.ids[0], "<>"))
		}
		if lost != "" {
			got = []string{lost + "?"}
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}
