// Package usage is the error for a mistake of the user: in a flag, in an argument, or in a
// file that one of them names. The command ends with exit code 2 for it, and prints which
// help to read.
//
// It is not for what the host or a kernel does wrong; such errors have no type of this
// package.
//
// Start with Errorf.
package usage

import (
	"errors"
	"fmt"
)

// Error is a mistake of the user.
type Error struct {
	Err error
	// Advised says that the text names the command that helps, so that no other one is added.
	Advised bool
}

// Error is the text of Err.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Errorf returns a mistake with a text as fmt.Errorf makes it.
func Errorf(format string, args ...any) error { return Of(fmt.Errorf(format, args...)) }

// Advisef is Errorf for a text that names the command that helps.
func Advisef(format string, args ...any) error {
	return &Error{Err: fmt.Errorf(format, args...), Advised: true}
}

// Of says that an error is the user's mistake. It returns nil for nil, and an error that
// is one already as it is.
func Of(err error) error {
	var u *Error
	if err == nil || errors.As(err, &u) {
		return err
	}
	return &Error{Err: err}
}
