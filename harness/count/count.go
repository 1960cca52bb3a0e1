// Package count writes numbers with their nouns.
//
// It knows no other grammar than the plural.
//
// Start with Of.
package count

import "fmt"

// Of returns a number with its noun: "1 case", "2 cases".
func Of(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
