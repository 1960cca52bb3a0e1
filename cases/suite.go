package cases

import (
	_ "embed"
	"fmt"
	"strings"
)

// suiteFile lists the cases of the groups marked full that the default suite
// runs all the same: a smallest set that notices what all of them would.
const suiteFile = "cases/suite.txt"

//go:embed suite.txt
var suiteText string

// pick puts the listed cases into the default suite.
func (c *Corpus) pick(list string) error {
	for i, line := range strings.Split(list, "\n") {
		text, _ := cutComment(line)
		id := strings.TrimSpace(text)
		if id == "" {
			continue
		}
		k := c.Case(id)
		switch {
		case k == nil:
			return fmt.Errorf("%s:%d: no case is called %s: make golden writes the file again", suiteFile, i+1, id)
		case !k.Full:
			return fmt.Errorf("%s:%d: %s is in the default suite without being listed", suiteFile, i+1, id)
		}
		k.Full = false
	}
	return nil
}
