package main

import (
	"github.com/spf13/cobra"

	"tokentest/cases"
	"tokentest/harness/vm"
)

// casesTopic is a page to read and no command: tokentest help cases.
func casesTopic() *cobra.Command {
	return &cobra.Command{Use: "cases", Short: "the language of case files", Long: cases.Language()}
}

// machineTopic is the page tokentest help machine.
func machineTopic() *cobra.Command {
	return &cobra.Command{Use: "machine", Short: "what the guest reads and changes in a kernel before the first case",
		Long: cases.Machine(vm.KernelArguments())}
}
