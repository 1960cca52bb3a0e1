package plan

import (
	"context"
	"fmt"

	"tokentest/cases"
)

// Limits of Announce: fewer cases are never announced, and more only if they are much more than
// the default suite.
const (
	fewCases = 5000
	muchMore = 3
)

// Announce says that a plan, whose cases run so many times, takes much longer than the default
// suite; "" if it does not.
func (p *Plan) Announce(ctx context.Context, times int) string {
	most := 0
	for _, ref := range p.Kernels {
		most = max(most, len(p.Of(ref)))
	}
	n := most * max(1, times)
	if n < fewCases {
		return ""
	}
	corpus, err := cases.Load(ctx)
	if err != nil {
		return "" // the plan has read the same files, and says what is wrong
	}
	suite, err := corpus.Select(nil, false)
	if err != nil || n < muchMore*len(suite) {
		return ""
	}
	return fmt.Sprintf("this runs %d cases on a kernel, the default suite %d: it takes about %d times as long", n,
		len(suite), n/len(suite))
}
