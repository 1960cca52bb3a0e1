package plan

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tokentest/cases"
	"tokentest/harness/usage"
)

const scenario = `about A case of the user's own.
actor owner userns uid=1000
actor other init uid=4242
owner bpffs cmds=map_create maps=hash -> b
owner token_create bpffs=b -> t
control owner map_create type=hash token=t
control other map_create type=hash => EPERM
`

// userFile writes a case file and returns its name.
func userFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// A request that names groups makes the same plan as one for which every case is read.
func TestLoadReadsWhatIsNamed(t *testing.T) {
	for _, args := range [][]string{{"token_create"}, {"map_create/any/owner/*", "nested_userns"}} {
		few, err := Load(t.Context(), Request{Kernels: []string{"k"}, Args: args})
		if err != nil {
			t.Fatal(err)
		}
		none := func(context.Context, *cases.Corpus) ([]string, error) { return nil, nil }
		all, err := Load(t.Context(), Request{Kernels: []string{"k"}, Args: args, Extend: none})
		if err != nil {
			t.Fatal(err)
		}
		if len(few.Cases) == 0 || !slices.Equal(ids(few.Cases), ids(all.Cases)) {
			t.Errorf("%q: %d cases, want the %d of the whole corpus", args, len(few.Cases), len(all.Cases))
		}
	}
}

// A file of the user is a group; with a pattern of its cases, that pattern chooses.
func TestLoadFile(t *testing.T) {
	path := userFile(t, "mine.txt", scenario)
	p, err := Load(t.Context(), Request{Kernels: []string{"k"}, Args: []string{path}, Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	if got := ids(p.Cases); !slices.Equal(got, []string{"mine"}) || p.Files["mine"] != path || p.Seed != 7 {
		t.Errorf("cases %q of %q, seed %d", got, p.Files, p.Seed)
	}
}

func TestLoadExtends(t *testing.T) {
	extend := func(ctx context.Context, c *cases.Corpus) ([]string, error) {
		g, err := c.AddFile(ctx, userFile(t, "more.txt", scenario))
		return []string{g.Name}, err
	}
	p, err := Load(t.Context(), Request{Kernels: []string{"k"}, Args: []string{"nested_userns"}, Extend: extend})
	if err != nil {
		t.Fatal(err)
	}
	if got := ids(p.Cases); !slices.Equal(got, []string{"nested_userns", "more"}) {
		t.Errorf("cases %q", got)
	}
	stop := errors.New("no disk")
	failing := func(context.Context, *cases.Corpus) ([]string, error) { return nil, stop }
	if _, err := Load(t.Context(), Request{Kernels: []string{"k"}, Extend: failing}); !errors.Is(err, stop) {
		t.Errorf("got %v, want the error of Extend", err)
	}
}

// A mistake of the user is a usage error; the end of the context is not.
func TestLoadErrors(t *testing.T) {
	for _, args := range [][]string{{"map_crate"}, {"nosuch.txt"}, {userFile(t, "bad.txt", "nosense\n")}} {
		_, err := Load(t.Context(), Request{Kernels: []string{"k"}, Args: args})
		var u *usage.Error
		if !errors.As(err, &u) {
			t.Errorf("%q: got %v, want a usage error", args, err)
		}
	}
	if _, err := Load(t.Context(), Request{Kernels: []string{"k"}, Args: []string{"map_crate"}}); !errors.Is(err,
		cases.ErrUnknownCase) {
		t.Errorf("got %v, want ErrUnknownCase", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("interrupted")
	cancel(stop)
	if _, err := Load(ctx, Request{Kernels: []string{"k"}, Full: true}); !errors.Is(err, stop) {
		t.Errorf("got %v, want the cause", err)
	}
}

func TestMemory(t *testing.T) {
	p := planOf(t, "a", "token_create")
	two := planOf(t, "a b", "token_create")
	if one := p.Memory(); one <= memoryBase || two.Memory()-memoryBase != 2*(one-memoryBase) {
		t.Errorf("one kernel %d bytes, two %d", one, two.Memory())
	}
}

// A case of many steps gets more memory than a short case.
func TestMemoryCountsSteps(t *testing.T) {
	const more = 10_000
	memory := func(steps int) int64 {
		corpus := &cases.Corpus{}
		text := scenario + strings.Repeat("owner map_create type=hash token=t\n", steps)
		g, err := corpus.AddFile(t.Context(), userFile(t, "long.txt", text))
		if err != nil {
			t.Fatal(err)
		}
		return (&Plan{Kernels: []string{"deb:6.12"}, Cases: g.Cases}).Memory()
	}
	if short, long := memory(1), memory(1+more); long-short < (more-ordinarySteps)*memoryPerStep {
		t.Errorf("a case of 1 step has %d bytes, one of %d steps %d", short, 1+more, long)
	}
	if one, two := memory(1), memory(2); one != two {
		t.Errorf("a short case of 1 step has %d bytes, one of 2 steps %d", one, two)
	}
}

// A regular expression chooses among the named cases, or among all but the sweeps.
func TestLoadMatching(t *testing.T) {
	load := func(args []string, texts ...string) (*Plan, error) {
		return Load(t.Context(), Request{Kernels: []string{"k"}, Args: args, Matching: texts})
	}
	p, err := load([]string{"token_create"}, `/owner/CAP_BPF/\d$`)
	if err != nil {
		t.Fatal(err)
	}
	guards := map[*cases.Case]bool{}
	for _, c := range p.Cases {
		for _, g := range c.Guards() {
			guards[g] = true
		}
	}
	re, n := regexp.MustCompile(`^token_create/.*/owner/CAP_BPF/\d$`), 0
	for _, c := range p.Cases {
		if re.MatchString(c.ID) {
			n++
		} else if !guards[c] {
			t.Errorf("%s is neither matched nor a control", c.ID)
		}
	}
	if n == 0 || !slices.Equal(p.Matching, []string{`/owner/CAP_BPF/\d$`}) {
		t.Errorf("%d cases, matching %v", n, p.Matching)
	}
	all, err := load(nil, `^token_create/`, `^nested_userns$`)
	if err != nil || len(all.Cases) <= len(p.Cases) || !slices.ContainsFunc(all.Cases, func(c *cases.Case) bool {
		return c.ID == "nested_userns"
	}) {
		t.Errorf("without names: %v, %v", all, err)
	}
	for text, want := range map[string]string{"(": "--regexp: error parsing",
		"no_such": "--regexp no_such: no case matches"} {
		var u *usage.Error
		if _, err := load([]string{"token_create"}, text); !errors.As(err, &u) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

// A file needs no .txt, replaces a built-in group of its name, and may come from the standard input.
func TestLoadOwnFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"repro", "token_create.txt", "nested_userns"} {
		if err := os.WriteFile(name, []byte(scenario), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for arg, mine := range map[string]bool{"repro": true, "./nested_userns": true, "token_create.txt": true,
		"-": true, "nested_userns": false} {
		p, err := Load(t.Context(), Request{Kernels: []string{"k"}, Args: []string{arg}, Stdin: scenario})
		if err != nil {
			t.Errorf("%s: %v", arg, err)
			continue
		}
		if c := p.Cases[0]; c.Group.Builtin == mine || (len(p.Files) == 1) != mine {
			t.Errorf("%s: got %s of %s, files %v", arg, c.ID, c.Group.Path, p.Files)
		}
	}
	p, err := Load(t.Context(), Request{Kernels: []string{"k"}, Args: []string{"token_create.txt", "nested_userns"}})
	if err != nil || len(p.Cases) != 2 {
		t.Errorf("got %d cases, %v", len(p.Cases), err)
	}
}
