package cases

import (
	"fmt"

	"github.com/hashicorp/go-multierror"
)

// mistakes are the errors in a file: a user fixes them together.
type mistakes struct{ list multierror.Error }

// maxMistakes is how many are printed at once.
const maxMistakes = 10

func (m *mistakes) add(path string, line int, err error) {
	if m.list.Len() < maxMistakes {
		m.list.Errors = append(m.list.Errors, fmt.Errorf("%s:%d: %w", path, line, err))
	}
}

// err returns nothing, the one mistake, or all.
func (m *mistakes) err() error {
	if m.list.Len() == 1 {
		return m.list.Errors[0]
	}
	return m.list.ErrorOrNil()
}
