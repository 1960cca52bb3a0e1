package repro

import "testing"

// A statement that does not fit breaks after commas, below the parenthesis that is open, and not in a string or in
// braces.
func TestFill(t *testing.T) {
	const long = "an argument, that is, of some length, which is a string"
	for text, want := range map[string]string{
		"f(a,\nb);": "\tf(a, b);",
		"f(" + `"` + long + `", g(first_argument, second_argument, third_argument));`: "\tf(\"" + long +
			"\", g(first_argument,\n" + "\t\t\t\t\t\t\t\t       second_argument,\n\t\t\t\t\t\t\t\t       third_argument));",
		"f(\"" + long + "\",\ng(first, second, third, fourth,\x01fifth));": "\tf(\"" + long + "\",\n" +
			"\t  g(first, second, third, fourth, fifth));",
		"f(" + long[:40] + ", (char [4]) { 1, 2, 3, 4, 5, 6, 7 }, last, " + long[:20] + ");": "\tf(" + long[:40] +
			", (char [4]) { 1, 2, 3, 4, 5, 6, 7 }, last,\n\t  " + long[:20] + ");",
	} {
		if got := fill("\t", text); got != want {
			t.Errorf("%q:\n%s\nwant\n%s", text, got, want)
		}
	}
}
