package lab

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tokentest/cases"
	"tokentest/harness/arch"
	"tokentest/harness/kernel"
	"tokentest/harness/plan"
	"tokentest/harness/result"
)

// newRun returns the record of a run with all its inputs.
func (l *Lab) newRun(p *plan.Plan, args []string) *result.Run {
	run := &result.Run{
		Version: result.Version, Args: args, Selection: p.Selection, Seed: p.Seed, Files: p.Files,
		Start: time.Now().UTC(), Dir: l.Dir, Program: programVersion(), Host: host(),
		Groups: outlines(p.Cases), Lists: l.Lists, AllowEmpty: l.AllowEmpty, Flags: l.Flags,
		Matching: p.Matching,
	}
	if p.Digest != "" {
		run.Part = &result.Part{I: p.Shard.I, N: p.Shard.N, Plan: p.Digest}
	}
	return run
}

// programVersion names this build: its release or its commit, and the Go version.
func programVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	version := info.Main.Version
	set := map[string]string{}
	for _, s := range info.Settings {
		set[s.Key] = s.Value
	}
	if rev := set["vcs.revision"]; rev != "" && !strings.Contains(version, rev[:min(12, len(rev))]) {
		version = strings.TrimSpace(version + " " + rev)
	}
	return strings.TrimSpace(version + " " + info.GoVersion)
}

func host() *result.Host {
	h := &result.Host{Job: job(os.Getenv), Arch: runtime.GOARCH, CPUs: runtime.NumCPU(), CPU: cpuModel()}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		h.Name, h.Kernel = unix.ByteSliceToString(u.Nodename[:]), unix.ByteSliceToString(u.Release[:])
	}
	return h
}

// jobVariables name a job in the environments of batch and CI systems, the most exact first.
var jobVariables = []string{"SLURM_JOB_ID", "CI_JOB_ID", "GITHUB_RUN_ID", "BUILDKITE_JOB_ID", "CIRCLE_WORKFLOW_JOB_ID",
	"BUILD_TAG", "JOB_COMPLETION_INDEX"}

func job(env func(string) string) string {
	for _, name := range jobVariables {
		if v := env(name); v != "" {
			return name + "=" + v
		}
	}
	return ""
}

// cpuModel is the processor's name; "" if the system does not report it.
func cpuModel() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name, value, _ := strings.Cut(lines.Text(), ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// outlines describes each group of the cases once.
func outlines(list []*cases.Case) []cases.Outline {
	var out []cases.Outline
	seen := map[*cases.Group]bool{}
	for _, c := range list {
		if !seen[c.Group] {
			seen[c.Group] = true
			out = append(out, c.Group.Outline())
		}
	}
	return out
}

// describe records what is known of a kernel's origin.
func describe(out *result.KernelRun, k *kernel.Kernel) error {
	out.Arch = arch.Or(k.Arch).Name
	out.Release, out.Source, out.Digest, out.Note = k.Release, k.Source, k.Digest, k.Note
	out.Compiler = strings.Trim(k.Config["CC_VERSION_TEXT"], `"`)
	if k.ConfigPath == "" {
		return nil
	}
	text, err := os.ReadFile(k.ConfigPath)
	if err != nil {
		return fmt.Errorf("read the kernel's configuration: %w", err)
	}
	sum := sha256.Sum256(text)
	out.ConfigDigest = hex.EncodeToString(sum[:])
	return nil
}

// skipDenied skips the cases that a list excludes.
func (t *trial) skipDenied(all []*cases.Case) {
	for _, c := range all {
		if r := result.Denied(t.lab.Lists, t.out, c); r != nil {
			t.set(c, *r)
		}
	}
}
