package main

import (
	"github.com/spf13/cobra"

	"tokentest/cases"
)

// casesTopic is a page to read and no command: tokentest help cases.
func casesTopic() *cobra.Command {
	return &cobra.Command{Use: "cases", Short: "the language of case files", Long: cases.Language()}
}
