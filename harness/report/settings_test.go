package report

import (
	"bytes"
	"slices"
	"testing"

	"tokentest/cases/step"
	"tokentest/harness/result"
)

// The page has the settings of each kernel, and what the guest changed.
func TestPageSettings(t *testing.T) {
	k := newKernel("deb:6.12", passed("masks", 0))
	k.Facts.Settings = map[string]step.Reading{step.PtraceScope: {Booted: 1}, step.Lockdown: {Booted: 2, Running: 2}}
	k.Facts.Changes = []step.Change{{Kind: step.ChangeSetting, Name: step.PtraceScope, To: "0"}}
	col := newPageData([]*result.Run{newRun(k)}, nil).head.Columns[0]
	want := [][2]string{{step.Lockdown, "confidentiality"}, {step.PtraceScope, "0 (booted with 1)"}}
	if !slices.Equal(col.Settings, want) || !slices.Equal(col.Changes, k.Facts.Changes) {
		t.Errorf("settings %v, changes %v, want %v, %v", col.Settings, col.Changes, want, k.Facts.Changes)
	}
	t.Run("drawn", func(t *testing.T) {
		path := writeHTML(t, func(b *bytes.Buffer) error { return Write("html", newRun(k), b, Options{}) })
		p := &driver{t, browser(t)}
		p.open(path, "")
		p.has("details", "lockdown confidentiality, kernel.yama.ptrace_scope 0 (booted with 1)")
		p.has("details", "setting kernel.yama.ptrace_scope 0")
	})
}
