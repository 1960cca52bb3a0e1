package result

// Detail adds to the class of a change.
type Detail string

// The details.
const (
	NoRecord     Detail = "no record"      // of the new side
	NoBaseRecord Detail = "no base record" // of the base
	NotInBase    Detail = "not in base"
	InBase       Detail = "in base" // the base varies
	OtherAnswer  Detail = "other answer"
	OtherSteps   Detail = "other steps"
	IsSkipped    Detail = "is skipped"
	WasSkipped   Detail = "was skipped"
	WasBroken    Detail = "was broken"
	WasNotTried  Detail = "was not tried"
	WasExpected  Detail = "was expected" // to fail
)

// detailWords are the details in words.
var detailWords = map[Detail]string{
	NoRecord:     "it has no record",
	NoBaseRecord: "the base has no record of it",
	NotInBase:    "the base does not have the case",
	InBase:       "in the base",
	OtherAnswer:  "with another answer",
	OtherSteps:   "its steps were different",
	IsSkipped:    "it is skipped",
	WasSkipped:   "it was skipped",
	WasBroken:    "it was broken",
	WasNotTried:  "it was not tried",
	WasExpected:  "it was expected to fail",
}

// Note returns the detail in words; "" is none.
func (c *Change) Note() string {
	text := detailWords[c.Detail]
	switch {
	case c.Detail == IsSkipped:
		return text + ": " + c.New.Reason
	case c.Detail == WasSkipped && c.Class == NewCase:
		return text + ": " + c.Base.Reason
	}
	return text
}
