package bisect

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/kernel"
	"tokentest/harness/result"
	"tokentest/harness/usage"
)

// field is where candidates come from.
type field interface {
	Space
	ends() (good, bad string)
	// kernel finds or builds a candidate. ref is what the lab takes.
	kernel(ctx context.Context, id string) (ref string, k *kernel.Kernel, err error)
	name(ctx context.Context, id string) string
	// expected is what the oracle says that the ends decide differently; nil if it cannot
	// tell.
	expected(list []*cases.Case) Decisions
}

// openField finds the candidates between the ends.
func openField(ctx context.Context, o *Options, q *Question) (field, error) {
	both := func(scheme string) bool { return strings.HasPrefix(q.Good, scheme) && strings.HasPrefix(q.Bad, scheme) }
	if both("deb:") || both("oci:") {
		list, err := kernel.Between(ctx, q.Good, q.Bad, q.Every, o.Kernel)
		if err != nil {
			return nil, err
		}
		return newReleases(list, o.Kernel), nil
	}
	good, err := kernel.Source(ctx, q.Good, o.Kernel)
	if err != nil {
		return nil, bothKinds(err, q)
	}
	bad, err := kernel.Source(ctx, q.Bad, o.Kernel)
	if err != nil {
		return nil, bothKinds(err, q)
	}
	if !good.SameTree(bad) {
		return nil, usage.Errorf("%s and %s are of different trees: there is nothing between them", q.Good, q.Bad)
	}
	c := &commitField{Commits: Commits{Git: bad.Git, FirstParent: o.FirstParent}, good: good, bad: bad, o: o.Kernel}
	if err := c.Check(ctx, good.Commit, bad.Commit); err != nil {
		return nil, usage.Of(err)
	}
	return c, nil
}

// bothKinds says what two ends must have in common.
func bothKinds(err error, q *Question) error {
	if errors.Is(err, kernel.ErrNoSource) {
		return usage.Errorf("--good %s and --bad %s: use two deb: references, or two of src:, git: and tree:, or two "+
			"oci: tags of one repository", q.Good, q.Bad)
	}
	return err
}

// commitField is the commits between two of one tree.
type commitField struct {
	Commits
	good, bad *kernel.Built
	o         kernel.Options
}

func (c *commitField) ends() (good, bad string) { return c.good.Commit, c.bad.Commit }

func (c *commitField) kernel(ctx context.Context, id string) (string, *kernel.Kernel, error) {
	at, err := c.bad.At(ctx, id)
	if err != nil {
		return "", nil, err
	}
	k, err := at.Build(ctx, c.o.Build, c.o)
	if err != nil {
		return "", nil, err
	}
	return k.Image, k, nil
}

func (c *commitField) name(ctx context.Context, id string) string {
	subject, err := c.Git(ctx, "show", "-s", "--format=%h (\"%s\")", "--abbrev=12", id)
	if err != nil {
		return id
	}
	return subject
}

func (c *commitField) expected([]*cases.Case) Decisions { return nil }

// releases are packaged kernels.
type releases struct {
	Line
	list []kernel.Available
	o    kernel.Options
}

func newReleases(list []kernel.Available, o kernel.Options) *releases {
	r := &releases{list: list, o: o}
	for _, a := range list {
		r.Line = append(r.Line, a.Ref)
	}
	return r
}

func (r *releases) ends() (good, bad string) { return r.Line[0], r.Line[len(r.Line)-1] }

func (r *releases) kernel(ctx context.Context, id string) (string, *kernel.Kernel, error) {
	k, err := kernel.Resolve(ctx, id, r.o)
	return id, k, err
}

func (r *releases) name(_ context.Context, id string) string {
	if i := slices.Index(r.Line, id); i >= 0 {
		return fmt.Sprintf("%s (%s)", id, r.list[i].Release)
	}
	return id
}

// expected is what the oracle answers differently for the two ends.
func (r *releases) expected(list []*cases.Case) Decisions {
	var facts [2]*step.Facts
	for i, a := range []kernel.Available{r.list[0], r.list[len(r.list)-1]} {
		rel, err := uapi.ParseRelease(a.Minor())
		if err != nil {
			return nil
		}
		facts[i] = cases.FactsAt(rel)
	}
	good, bad := Decisions{}, Decisions{}
	plays := [2]cases.Player{{Facts: facts[0]}, {Facts: facts[1]}}
	for _, c := range list {
		before, after := decided(&plays[0], c), decided(&plays[1], c)
		if !before.None() && !after.None() && !before.Equal(after) {
			good[c.ID], bad[c.ID] = before, after
		}
	}
	return Answers(good, bad)
}

// decided is what the oracle expects of a case, none if it does not know.
func decided(play *cases.Player, c *cases.Case) Decision {
	if unmet, _ := c.Unmet(play.Facts); unmet != nil {
		return Decision{Skipped: true}
	}
	expected, err := play.Play(c)
	if err != nil {
		return Decision{}
	}
	var d Decision
	for _, e := range expected {
		if !e.Verdict.Known {
			return Decision{}
		}
		d.Steps = append(d.Steps, result.StepAnswer(e.Verdict.Errno, e.Values))
	}
	return d
}
