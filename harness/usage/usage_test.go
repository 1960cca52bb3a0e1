package usage

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"
)

func TestErrors(t *testing.T) {
	for _, tt := range []struct {
		name    string
		err     error
		text    string
		advised bool
	}{
		{"Errorf", Errorf("--out %s: %w", "d", fs.ErrExist), "--out d: file already exists", false},
		{"Advisef", Advisef("no run: %w; tokentest run makes one", fs.ErrExist),
			"no run: file already exists; tokentest run makes one", true},
		{"Of", Of(fs.ErrExist), "file already exists", false},
		{"Of a mistake", Of(fmt.Errorf("x: %w", Advisef("y: %w", fs.ErrExist))), "x: y: file already exists", true},
		{"wrapped", fmt.Errorf("read: %w", Of(fs.ErrExist)), "read: file already exists", false},
	} {
		var u *Error
		if !errors.As(tt.err, &u) || u.Advised != tt.advised || !errors.Is(tt.err, fs.ErrExist) || tt.err.Error() != tt.text {
			t.Errorf("%s: got %#v (%v), want %q, advised %v, that wraps its cause", tt.name, tt.err, tt.err, tt.text, tt.advised)
		}
	}
	var u *Error
	if Of(nil) != nil || errors.As(fs.ErrExist, &u) {
		t.Error("an error that is not the user's mistake is one")
	}
}
