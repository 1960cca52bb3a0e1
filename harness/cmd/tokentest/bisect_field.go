package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/bisect"
	"tokentest/harness/kernel"
	"tokentest/harness/usage"
)

// openField finds what lies between the ends.
func (a *app) openField(ctx context.Context, f *bisectFlags, q *bisect.Question) (field, error) {
	o := a.kernelOptions()
	o.Offline = f.run.offline
	var err error
	if o.Build, err = f.build.options(); err != nil {
		return nil, err
	}
	debs := strings.HasPrefix(q.Good, "deb:") && strings.HasPrefix(q.Bad, "deb:")
	if debs {
		list, err := kernel.Between(ctx, q.Good, q.Bad, q.Every, o)
		if err != nil {
			return nil, err
		}
		return newReleases(list, o), nil
	}
	good, err := kernel.Source(ctx, q.Good, o)
	if err != nil {
		return nil, bothKinds(err, q)
	}
	bad, err := kernel.Source(ctx, q.Bad, o)
	if err != nil {
		return nil, bothKinds(err, q)
	}
	if !good.SameTree(bad) {
		return nil, usage.Errorf("%s and %s are of different trees: nothing lies between them", q.Good, q.Bad)
	}
	c := &commitField{Commits: bisect.Commits{Git: bad.Git, FirstParent: f.first}, good: good, bad: bad, o: o}
	if err := c.Check(ctx, good.Commit, bad.Commit); err != nil {
		return nil, usage.Of(err)
	}
	return c, nil
}

// bothKinds says what two ends must have in common.
func bothKinds(err error, q *bisect.Question) error {
	if errors.Is(err, kernel.ErrNoSource) {
		return usage.Errorf("--good %s and --bad %s: use two deb: references, or two of src:, git: and tree:", q.Good, q.Bad)
	}
	return err
}

// commitField is the commits between two of one tree.
type commitField struct {
	bisect.Commits
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

func (c *commitField) expected([]*cases.Case) bisect.Decisions { return nil }

// releases are packaged kernels.
type releases struct {
	bisect.Line
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
func (r *releases) expected(list []*cases.Case) bisect.Decisions {
	var facts [2]*step.Facts
	for i, a := range []kernel.Available{r.list[0], r.list[len(r.list)-1]} {
		rel, err := uapi.ParseRelease(a.Minor())
		if err != nil {
			return nil
		}
		facts[i] = cases.FactsAt(rel)
	}
	good, bad := bisect.Decisions{}, bisect.Decisions{}
	plays := [2]cases.Player{{Facts: facts[0]}, {Facts: facts[1]}}
	for _, c := range list {
		before, known := decided(&plays[0], c)
		after, knownToo := decided(&plays[1], c)
		if known && knownToo && before != after {
			good[c.ID], bad[c.ID] = before, after
		}
	}
	return bisect.Answers(good, bad)
}

// decided is what the oracle expects of a case, in the words of bisect.Decisions, and
// whether it knows.
func decided(play *cases.Player, c *cases.Case) (string, bool) {
	if unmet, _ := c.Unmet(play.Facts); unmet != nil {
		return bisect.Skipped, true
	}
	expected, err := play.Play(c)
	if err != nil {
		return "", false
	}
	var steps []string
	for _, e := range expected {
		if !e.Verdict.Known {
			return "", false
		}
		step := e.Verdict.Errno.String()
		if len(e.Values) > 0 {
			step += fmt.Sprintf("%#x", e.Values)
		}
		steps = append(steps, step)
	}
	return strings.Join(steps, ","), true
}
