// Package kconfig reads kernel configurations, from a .config file or from a kernel
// image that contains its own (CONFIG_IKCONFIG), and checks them against fragments.
//
// It does not run the kernel's kconfig; package kernel does. Start with Parse and
// ReadImage; check.go compares a configuration with the fragments beside this file.
package kconfig

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// Config maps a symbol, without its CONFIG_ prefix, to its value. The zero
// Config is nil: nothing is known, which differs from everything off.
type Config map[string]string

// symbol matches a name as in the kernel's scripts/kconfig/lexer.l.
var symbol = regexp.MustCompile(`^CONFIG_[A-Za-z0-9_]+$`)

// maxLine is far above the longest line of a real .config, which is a string
// option such as CONFIG_LSM or CONFIG_CMDLINE (COMMAND_LINE_SIZE is 2048).
const maxLine = 1 << 20

// Parse reads the format that scripts/kconfig/confdata.c writes. As there, the last value of a symbol
// counts.
func Parse(r io.Reader) (Config, error) {
	config := Config{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	n := 0
	for lines.Scan() {
		n++
		if err := config.set(strings.TrimSpace(lines.Text())); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", n+1, err)
	}
	return config, nil
}

// set sets the symbol of one line.
func (c Config) set(line string) error {
	if name, ok := strings.CutSuffix(line, " is not set"); ok {
		name = strings.TrimSpace(strings.TrimPrefix(name, "#"))
		if strings.HasPrefix(line, "#") && symbol.MatchString(name) {
			c[bare(name)] = "n"
			return nil
		}
	}
	if line == "" || line[0] == '#' {
		return nil
	}
	name, value, ok := strings.Cut(line, "=")
	if !ok || !symbol.MatchString(name) {
		return fmt.Errorf("want CONFIG_NAME=value or # CONFIG_NAME is not set, got %.60q", line)
	}
	value, err := unquote(value)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	c[bare(name)] = value
	return nil
}

// unquote removes the quotes of a string option. As conf_set_sym_val in confdata.c does it, it looks only at the first
// letter of y, m or n, and ignores what follows the closing quote. kconfig escapes only the quote and the backslash
// (escape_string_value).
func unquote(value string) (string, error) {
	switch {
	case value == "":
		return "", fmt.Errorf("no value after =")
	case strings.IndexByte("ymn", value[0]) >= 0:
		return value[:1], nil
	case value[0] != '"':
		return value, nil
	}
	quoted, err := strconv.QuotedPrefix(value)
	if err != nil {
		return "", fmt.Errorf("string without closing quote: %.60q", value)
	}
	s, err := strconv.Unquote(quoted)
	if err != nil {
		return "", fmt.Errorf("string without closing quote: %.60q", value)
	}
	return s, nil
}

// bare removes the CONFIG_ prefix.
func bare(sym string) string { return strings.TrimPrefix(sym, "CONFIG_") }

// Value returns the symbol's value: "y", "m", a number, or a string without its quotes; "n" if the
// configuration says that it is not set, and "" if it does not name it. Here and in the other
// functions, the CONFIG_ prefix is optional.
func (c Config) Value(sym string) string { return c[bare(sym)] }

// Has reports whether the symbol is on, built in or as a module.
func (c Config) Has(sym string) bool {
	v := c.Value(sym)
	return v == "y" || v == "m"
}

// BuiltIn reports whether the symbol is on and not a module.
func (c Config) BuiltIn(sym string) bool { return c.Value(sym) == "y" }
