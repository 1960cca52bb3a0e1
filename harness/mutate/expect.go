package mutate

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/go-multierror"

	"tokentest/harness/listfile"
	"tokentest/harness/textfile"
	"tokentest/harness/usage"
)

// Expected is an entry of a list of survivors that a person has judged.
type Expected struct {
	Where     string // FILE:LINE of the list
	Func      string
	Place     string // FILE:LINE of the kernel, as Mutant.File and Line or as Mutant.Inner
	Operators []Operator
	Reason    string
}

// ParseExpected reads a list of judged survivors; name is the file, for error messages. A line is
//
//	FUNC[+0xOFFSET] FILE:LINE OPERATOR[,OPERATOR...] # REASON
//
// It holds for each change by one of the operators of an instruction of that function and line, or of
// what was inlined there; with an offset, of that instruction only.
func ParseExpected(name, text string) ([]Expected, error) {
	if err := textfile.Check(name, []byte(text)); err != nil {
		return nil, err
	}
	var out []Expected
	for line := range listfile.Parse(name, text, "#") {
		words := strings.Fields(line.Body)
		if len(words) != 3 || !strings.Contains(words[1], ":") {
			return nil, usage.Errorf("%s: write FUNC[+0xOFFSET] FILE:LINE OPERATOR[,OPERATOR...] # REASON", line.Where)
		}
		e := Expected{Where: line.Where, Func: words[0], Place: words[1], Reason: line.Reason}
		for _, o := range strings.Split(words[2], ",") {
			if !slices.Contains(operators, Operator(o)) {
				return nil, usage.Errorf("%s: no operator %s", line.Where, o)
			}
			e.Operators = append(e.Operators, Operator(o))
		}
		if e.Reason == "" {
			return nil, usage.Errorf("%s: %v", line.Where, listfile.ErrNoReason)
		}
		out = append(out, e)
	}
	return out, nil
}

// covers reports whether an entry is about a mutant.
func (e *Expected) covers(m *Mutant) bool {
	at, _, _ := strings.Cut(m.ID, "/")
	return (e.Func == m.Func || e.Func == at) && (e.Place == fmt.Sprintf("%s:%d", m.File, m.Line) || e.Place == m.Inner) &&
		slices.Contains(e.Operators, m.Operator)
}

// ErrExpect means that the list of judged survivors does not hold any more.
var ErrExpect = errors.New("the list of judged survivors does not hold")

// judge takes the list of judged survivors into account. An operator of an entry by which nothing survives
// is an error, unless the selection has no such change.
func (o *Options) judge(list []*Outcome) error {
	var wrong []error
	for i := range o.Expect {
		e := &o.Expect[i]
		tried, survived := map[Operator]bool{}, map[Operator]bool{}
		for _, out := range list {
			if !e.covers(&out.Mutant) {
				continue
			}
			tried[out.Operator] = true
			switch out.Verdict {
			case Survived, Judged:
				out.Verdict, out.Reason = Judged, e.Reason
				survived[out.Operator] = true
			case Unknown: // the host did not try it
				survived[out.Operator] = true
			}
		}
		for _, op := range e.Operators {
			switch {
			case survived[op]:
			case tried[op]:
				wrong = append(wrong, fmt.Errorf("%w: %s: %s at %s by %s is noticed now: remove it", ErrExpect, e.Where,
					e.Func, e.Place, op))
			case o.Selection.whole():
				wrong = append(wrong, fmt.Errorf("%w: %s: nothing of %s at %s can be changed by %s: is it another kernel?",
					ErrExpect, e.Where, e.Func, e.Place, op))
			}
		}
	}
	return multierror.Append(nil, wrong...).ErrorOrNil()
}

// whole reports whether nothing of the code is left out but what is no permission check.
func (s *Selection) whole() bool { return len(s.Functions) == 0 && s.Sample == 0 && len(s.Patch) == 0 }
