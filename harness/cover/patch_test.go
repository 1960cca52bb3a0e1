package cover

import (
	"fmt"
	"strings"
	"testing"
)

const mailbox = `From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001
From: A <a@example.org>
Subject: [PATCH 1/2] one

---
 a.c | 4 ++--
 1 file changed

diff --git a/a.c b/a.c
index 1..2 100644
--- a/a.c
+++ b/a.c
@@ -1,4 +1,4 @@ static int f(void)
 	ask(39);
-	if (security())
+	if (!security())
 		return 0;
 	more();
-- 
2.39.0

From 1123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001
From: A <a@example.org>
Subject: [PATCH 2/2] two

---
diff --git a/a.c b/a.c
index 2..3 100644
--- a/a.c
+++ b/a.c
@@ -4,1 +4,3 @@
 	more();
+	even_more();
+
diff --git a/README b/README
index 2..3 100644
--- a/README
+++ b/README
@@ -1,1 +1,1 @@
-a
+b
diff --git a/b.h b/b.h
index 2..3 100644
--- a/b.h
+++ b/b.h
@@ -89,2 +89,1 @@
 #define W
-#define X
-- 
2.39.0
`

func TestReadPatch(t *testing.T) {
	for patched, want := range map[bool]string{
		false: "a.c:2 if (security()); a.c:2 if (!security()); a.c:4 even_more();; b.h:90 #define X; ",
		true:  "a.c:1 if (security()); a.c:2 if (!security()); a.c:5 even_more();; b.h:89 #define X; ",
	} {
		list, err := ReadPatch("x.mbox", mailbox, patched)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, c := range list {
			got += fmt.Sprintf("%s:%d %s; ", c.File, c.Line, c.Text)
		}
		if got != want {
			t.Errorf("patched %v: got  %s\nwant %s", patched, got, want)
		}
	}
	plain := "--- a/k/f.c\t2026-01-01\n+++ b/k/f.c\t2026-01-01\n@@ -1,1 +1,1 @@\n-x\n+y\n"
	if list, err := ReadPatch("x.diff", plain, false); err != nil || len(list) != 2 || list[0].File != "k/f.c" {
		t.Errorf("got %+v, %v", list, err)
	}
	for _, bad := range []string{"", "no patch", strings.Replace(mailbox, "@@ -1,4", "@@ -1,9", 1)} {
		if _, err := ReadPatch("x.mbox", bad, false); err == nil {
			t.Errorf("%.20q was taken", bad)
		}
	}
}

// A changed line has the cases of its code, or of the code before it in the function.
func TestPatch(t *testing.T) {
	c := asking().code()
	tr := &Traces{
		Spans:  []Span{{Cases: []string{"g/1"}}, {Setup: true, Cases: []string{"g/1", "g/2"}}},
		Blocks: []Block{{Insns: []uint64{0x1000, 0x1005}, Spans: []int32{0}}, {Insns: []uint64{0x100e}, Spans: []int32{1}}},
	}
	tr.Index(c)
	list := []Change{{File: "a.c", Line: 1}, {File: "a.c", Line: 2}, {File: "a.c", Line: 3}, {File: "a.c", Line: 99},
		{File: "z.c", Line: 1}}
	r := c.Patch("x.mbox", list, tr)
	got := ""
	for _, ch := range r.Changes {
		got += fmt.Sprintf("%d %v %d; ", ch.At, ch.Executed, len(ch.Cases))
	}
	if want := "1 true 1; 2 true 2; 3 false 0; 0 false 0; 0 false 0; "; got != want || len(r.Affected) != 2 {
		t.Errorf("got %s, %d affected, want %s", got, len(r.Affected), want)
	}
	var out strings.Builder
	if err := r.Write(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a.c:3  no case executes it", "5 changed lines: 2 executed, 1 that no case executes, " +
		"2 without code that is measured; 2 cases can be affected"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("lacks %q:\n%s", want, out.String())
		}
	}
}

// Only the changed lines that have code and that no case executes are listed.
func TestMissed(t *testing.T) {
	r := &PatchReport{Patch: "x.patch", Affected: []string{"a"}, Changes: []Change{
		{File: "k.c", Line: 1, Text: "done();", At: 1, Executed: true, Cases: []string{"a"}},
		{File: "k.c", Line: 2, Text: "return -ENOTTY;", At: 2}, {File: "k.c", Line: 3, Text: "/* no code */"},
	}}
	var out strings.Builder
	r.Missed(&out)
	want := r.String() + "\n  k.c:2: no case executes it: return -ENOTTY;\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}
