package cases

import (
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"

	"tokentest/cases/step"
)

// member finds the parameter of NAME or NAME@OFFSET; nil if the operation has none.
func member(row *step.Operation, name string) (*step.Param, uint16, error) {
	base, offset, has := strings.Cut(name, "@")
	p := row.Named(base)
	switch {
	case p == nil || !p.At && has:
		return nil, 0, nil
	case !p.At:
		return p, 0, nil
	}
	n, err := strconv.ParseUint(offset, 0, 16)
	if err != nil {
		return nil, 0, fmt.Errorf("read %q: want the member's offset in the attribute, %s", name+"=", p.Spelling()+"VALUE")
	}
	return p, uint16(n), nil
}

// zeros is what a value begins with that stands for zeros.
const zeros = "zero:"

// bytesArg reads what a pointer points to: the name of a blob, or bytes.
func bytesArg(value string) (blob uint64, data string, err error) {
	switch {
	case strings.HasPrefix(value, `"`):
		text, closed := strings.CutSuffix(value[1:], `"`)
		if !closed {
			return 0, "", fmt.Errorf(`read %s: the text must end with a quote; \040 is a space`, value)
		}
		data, err = unescape(text)
		return 0, data + "\x00", err
	case strings.HasPrefix(value, "0x"):
		b, err := hex.DecodeString(value[2:])
		if err != nil || len(b) == 0 {
			return 0, "", fmt.Errorf("read %s: want two hexadecimal digits for each byte", value)
		}
		return 0, string(b), nil
	case strings.HasPrefix(value, zeros):
		n, err := strconv.ParseUint(value[len(zeros):], 0, 64)
		if err != nil || n == 0 || n > step.MaxAttr {
			return 0, "", fmt.Errorf("read %s: want a length from 1 to %d", value, step.MaxAttr)
		}
		return 0, strings.Repeat("\x00", int(n)), nil
	}
	if blob, err = step.KindBytes.Word(value); err != nil {
		err = fmt.Errorf(`read %q: want "text", 0x and hexadecimal digits, zero:LENGTH, or one of %s`, value,
			strings.Join(step.Blobs[1:], " "))
	}
	return blob, "", err
}

// checkRaw refuses members that do not fit and those that write over each other.
func checkRaw(s *step.Step) error {
	end, sized := s.Num(step.KeySize)
	if !sized {
		end = step.MaxAttr
	}
	if end > step.MaxAttr {
		return fmt.Errorf("size=%d: the kernel takes at most %d bytes", end, step.MaxAttr)
	}
	taken := map[uint16]string{}
	for _, a := range s.Args {
		width := a.Key.Width()
		if width == 0 {
			continue
		}
		name := fmt.Sprintf("%s@%d", s.Op.Row().Of(a.Key).Name, a.At)
		switch {
		case uint64(a.At)+uint64(width) > end:
			return fmt.Errorf("%s ends beyond the attribute's %d bytes", name, end)
		case a.Key == step.KeyU32 && a.Num > math.MaxUint32:
			return fmt.Errorf("%s=%#x: the member has 4 bytes; u64@%d has 8", name, a.Num, a.At)
		}
		for i := range uint16(width) {
			if other := taken[a.At+i]; other != "" {
				return fmt.Errorf("%s overlaps %s", name, other)
			}
			taken[a.At+i] = name
		}
	}
	return nil
}
