package repro

import (
	"fmt"
	"strings"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// raw writes a call with an attribute that the step spells out, as words of four bytes.
func (w *writer) raw() error {
	n, _ := w.st.Num(step.KeyCmd)
	size, words := uint64(wholeAttr), []string{}
	for i := range w.st.Args {
		a := &w.st.Args[i]
		if a.Key.Width() == 0 {
			continue
		}
		if a.At%4 != 0 {
			return w.refuse("a member at %d cannot be written yet", a.At)
		}
		at := a.At / 4
		switch a.Key {
		case step.KeyU32:
			words = append(words, fmt.Sprintf("[%d] = %s", at, num(a.Num)))
		case step.KeyFD:
			words = append(words, fmt.Sprintf("[%d] = %s", at, w.fdOf(step.Handle(a.Num))))
		default:
			c := fmt.Sprintf("%#x", a.Num)
			if a.Key == step.KeyPtr {
				c = w.memory(a)
			}
			w.use("WIDE")
			words = append(words, fmt.Sprintf("WIDE(%d, %s)", at, c))
		}
		size = max(size, uint64(a.At)+uint64(a.Key.Width()))
	}
	length := (size + 3) / 4
	if n, ok := w.st.Num(step.KeySize); ok {
		size, length = n, max(length, (n+3)/4)
	}
	if len(words) == 0 {
		words = []string{"0"}
	}
	w.use("bpf")
	w.step(nil, fmt.Sprintf("bpf(%s, (__u32 [%d]) { %s }, %d)", w.command(uapi.Cmd(n)), length,
		strings.Join(words, ", "), size))
	return nil
}

// memory is the address of what a pointer points to.
func (w *writer) memory(a *step.Arg) string {
	w.use("PTR")
	switch step.Blob(a.Num) {
	case step.BlobExit:
		return w.insnsOf(0)
	case step.BlobLicense:
		return `PTR("GPL")`
	case step.BlobBTF:
		w.use("int_btf")
		return "PTR(&int_btf)"
	}
	if strings.Trim(a.Str, "\x00") == "" {
		return fmt.Sprintf("PTR((char [%d]) { 0 })", len(a.Str))
	}
	var text strings.Builder // C adds a zero
	for _, b := range []byte(strings.TrimSuffix(a.Str, "\x00")) {
		if b < ' ' || b > '~' || b == '"' || b == '\\' || b == '?' {
			fmt.Fprintf(&text, "\\%03o", b)
		} else {
			text.WriteByte(b)
		}
	}
	return fmt.Sprintf("PTR(\"%s\")", text.String())
}
