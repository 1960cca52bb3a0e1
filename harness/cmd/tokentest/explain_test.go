package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// longCase writes a case file of n steps.
func longCase(tb testing.TB, n int) string {
	tb.Helper()
	var b strings.Builder
	b.WriteString(`about Many steps.
question How long does it take?
answer As long as it has steps.
needs token
actor owner userns uid=1000
owner bpffs cmds=any maps=any -> b
owner token_create bpffs=b -> t
control owner  map_create type=hash token=t
control nobody map_create type=hash => EPERM
`)
	for i := range n {
		fmt.Fprintf(&b, "owner map_create type=hash token=t -> m%d\n", i)
	}
	path := filepath.Join(tb.TempDir(), "long.txt")
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		tb.Fatal(err)
	}
	return path
}

// BenchmarkExplainSteps shows that a step costs the same in a short case and in a long one.
func BenchmarkExplainSteps(b *testing.B) {
	for _, n := range []int{2_000, 20_000, 200_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			path := longCase(b, n)
			for b.Loop() {
				if code := run([]string{"explain", path}, strings.NewReader(""), io.Discard, os.Stderr); code != 0 {
					b.Fatalf("exit code %d", code)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/step")
		})
	}
}

// Every step of a long case is explained, in order.
func TestExplainLongCase(t *testing.T) {
	const n = 300
	var out, errs bytes.Buffer
	if code := run([]string{"explain", longCase(t, n)}, strings.NewReader(""), &out, &errs); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	rest := out.String()
	for i := range n {
		want := fmt.Sprintf("\nowner map_create type=hash token=t -> m%d\n", i)
		_, after, ok := strings.Cut(rest, want)
		if !ok {
			t.Fatalf("no step %q after the one before", strings.TrimSpace(want))
		}
		rest = after
	}
}
