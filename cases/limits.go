package cases

import (
	"slices"

	"tokentest/cases/step"
)

// bounds reports whether a step puts a process into a memory cgroup.
func bounds(steps []step.Step) bool {
	return slices.ContainsFunc(steps, func(s step.Step) bool { return s.Op == step.OpMemory })
}

// memoryNeeds are what a memory cgroup needs of the kernel.
var memoryNeeds = append(configNeeds("MEMCG"), settingIs(step.CgroupDisable, 0), settingIs(step.CgroupMemory, 0))
