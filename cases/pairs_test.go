package cases

import (
	"slices"
	"strings"
	"testing"

	"tokentest/cases/oracle"
	"tokentest/cases/sim"
	"tokentest/cases/step"
)

const (
	nothingRead = "what cannot be read has no fields"
	unknownCmd  = "a command that is unknown has no attribute"
	gone        = "a dropped token is looked at no more"
	noToken     = "what is no token has no masks"
	oneBody     = "a program is one program"
	oneType     = "they are of different types"
	oneFD       = "a descriptor is closed or no BTF"
	oneProg     = "a descriptor is closed, no program, or a program of another type"
	oneTarget   = "a call has one target"
)

// apart are neighbours in the kernel's order that no call meets both, with
// the reason. The oracle's own tests show it of every small world.
var apart = map[string]string{
	"token_create/attr-unreadable before token_create/unknown":                      "such a kernel does not get this far",
	"token_create/unknown before token_create/attr-tail":                            unknownCmd,
	"btf_load/attr-unreadable before btf_load/attr-tail":                            nothingRead,
	"btf_load/token-not-a-token before btf_load/token-not-covering":                 noToken,
	"btf_get_fd_by_id/token-not-a-token before btf_get_fd_by_id/token-not-covering": noToken,
	"map_create/attr-unreadable before map_create/attr-tail":                        nothingRead,
	"map_create/bad-type before map_create/inner-value":                             oneType,
	"map_create/inner-fd before map_create/alloc-late":                              oneType,
	"map_create/no-cap-bpf before map_create/no-cap-net-admin":                      "a map type has one class",
	"map_create/btf-closed before map_create/btf-none":                              oneFD,
	"map_create/btf-none before map_create/btf-sizes":                               oneFD,
	"map_create/token-not-a-token before map_create/token-not-covering-cmd":         noToken,
	"map_create/token-not-covering-cmd before map_create/token-not-covering-type":   gone,
	"prog_load/token-not-a-token before prog_load/token-not-covering-cmd":           noToken,
	"prog_load/token-not-covering-cmd before prog_load/token-not-covering-type":     gone,
	"prog_load/token-not-covering-type before prog_load/token-not-covering-attach":  gone,
	"token_create/lsm-bpf before token_create/unknown":                              "no case has a BPF-LSM program there",
	"token_create/nothing-delegated before token_create/no-fd":                      ownMachine,
	"token_create/no-fd before token_create/lsm":                                    ownMachine,
	"token_create/lsm before token_create/no-fd-late":                               ownMachine,
	"map_create/token-not-covering-cmd before map_create/lsm-token-cmd":             gone,
	"map_create/lsm-token-cmd before map_create/token-not-covering-type":            gone,
	"prog_load/token-not-covering-cmd before prog_load/lsm-token-cmd":               gone,
	"prog_load/lsm-token-cmd before prog_load/token-not-covering-type":              gone,
	"btf_load/token-not-covering before btf_load/lsm-token-cmd":                     gone,
	"btf_get_fd_by_id/token-not-covering before btf_get_fd_by_id/lsm-token-cmd":     gone,
	"prog_load/helper-sys-admin before prog_load/skb-data":                          oneBody,
	"prog_load/helper-sys-admin-initial before prog_load/skb-data":                  oneBody,
	"prog_load/lsm-read-locked-down before prog_load/helper-sys-admin":              oneBody,
	"prog_load/lsm-read-locked-down before prog_load/lsm-write-locked-down":         oneBody,
	"prog_load/lsm-write-locked-down-late before prog_load/skb-data":                oneBody,
	"prog_load/pointer-leak before prog_load/uninit-stack":                          oneBody,
	"prog_load/uninit-stack before prog_load/variable-stack":                        oneBody,
	"prog_load/attach-fd before prog_load/attach-btf":                               oneFD,
	"prog_load/context before prog_load/pointer-leak":                               oneBody,
	"prog_load/ext-functions before prog_load/no-target-type":                       oneType,
	"prog_load/hook-target-type before prog_load/target-not-sleepable":              oneType,
	"prog_load/map-keyless before prog_load/map-wide":                               "a map without keys has no long keys",
	"prog_load/map-lookup before prog_load/map-keyless":                             "a map without keys is looked up in",
	"prog_load/map-no-map before prog_load/map-sleepable":                           "what is no map has no type",
	"prog_load/map-wide before prog_load/return-value":                              "a lookup returns what its type may",
	"prog_load/multi-not-tracing before prog_load/multi-one":                        oneType,
	"prog_load/multi-one before prog_load/attach-program":                           oneType,
	"prog_load/no-struct-ops before prog_load/no-attach-id":                         oneType,
	"prog_load/no-target-type before prog_load/hook-target-type":                    "its targets are known",
	"prog_load/not-sleepable before prog_load/no-struct-ops":                        "struct_ops may be sleepable",
	"prog_load/offload-not-supported before prog_load/bad-type":                     "a device's type is known",
	"prog_load/only-sleepable before prog_load/not-sleepable":                       "a program sleeps or does not",
	"prog_load/target-not-sleepable before prog_load/helper-type":                   "tracing programs have the helper",
	"prog_load/map-sleepable before prog_load/arena":                                "sleepers use arenas, too",
	"prog_load/map-sleepable before prog_load/storage-taken":                        "a sleeper has no such storage",
	"prog_load/storage-taken before prog_load/arena":                                oneType,
	"prog_load/arena-address before prog_load/back-edge":                            oneBody,
	"prog_load/back-edge before prog_load/only-sleepable":                           "it needs CAP_BPF",
	"prog_load/helper-type before prog_load/helper-absent":                          oneBody,
	"prog_load/helper-absent before prog_load/helper-bpf":                           "an absent helper needs nothing",
	"prog_load/helper-perfmon before prog_load/helper-socket":                       oneBody,
	"prog_load/helper-socket before prog_load/helper-sys-bpf":                       oneBody,
	"prog_load/skb-data before prog_load/skb-tstamp":                                oneBody,
	"prog_load/variable-stack before prog_load/helper-sleeps":                       oneBody,
	"prog_load/variable-stack before prog_load/helper-argument":                     oneBody,
	"prog_load/helper-argument before prog_load/kfunc-type":                         oneBody,
	"prog_load/kfunc-destructive before prog_load/kfunc-perfmon":                    oneBody,
	"prog_load/kfunc-perfmon before prog_load/btf-read":                             oneBody,
	"prog_load/kfunc-destructive before prog_load/btf-read":                         oneBody,
	"prog_load/btf-read before prog_load/no-bytes":                                  oneBody,
	"prog_load/no-bytes before prog_load/before-context":                            oneBody,
	"prog_load/before-context before prog_load/map-read":                            oneBody,
	"prog_attach/old-bad-fd before prog_attach/old-other":                           oneProg,
	"prog_load/map-read before prog_load/partial-spill":                             oneBody,
	"prog_load/partial-spill before prog_load/add-to-pointer":                       oneBody,
	"prog_load/add-to-pointer before prog_load/mixed-read":                          oneBody,
	"prog_load/mixed-read before prog_load/blank-slot":                              oneBody,
	"prog_load/blank-slot before prog_load/var-write":                               oneBody,
	"prog_load/var-write before prog_load/stale-packet":                             oneBody,
	"prog_load/stale-packet before prog_load/stale-record":                          oneBody,
	"prog_load/stale-record before prog_load/stale-slice":                           oneBody,
	"prog_load/stale-slice before prog_load/pointer-stored":                         oneBody,
	"prog_load/pointer-stored before prog_load/pointer-added":                       oneBody,
	"prog_load/pointer-added before prog_load/spill-forgotten":                      oneBody,
	"prog_load/spill-forgotten before prog_load/pointer-passed":                     oneBody,
	"prog_load/pointer-passed before prog_load/pointer-part":                        oneBody,
	"prog_load/pointer-part before prog_load/linked-bounds":                         oneBody,
	"prog_load/linked-bounds before prog_load/blank-key":                            oneBody,
	"prog_load/helper-sys-bpf before prog_load/helper-trace":                        oneBody,
	"prog_load/helper-trace before prog_load/lsm-read-locked-down":                  oneBody,
	"prog_load/blank-key before prog_load/pointer-key":                              oneBody,
	"prog_load/pointer-key before prog_load/pointer-halves":                         oneBody,
	"prog_load/pointer-halves before prog_load/pointer-arithmetic":                  oneBody,
	"prog_load/pointer-arithmetic before prog_load/pointer-compare":                 oneBody,
	"prog_load/pointer-compare before prog_load/far-stack":                          oneBody,
	"prog_load/far-stack before prog_load/loop-speculated":                          oneBody,
	"prog_load/loop-speculated before prog_load/map-lookup":                         oneBody,
	"prog_load/subprog before prog_load/kfunc":                                      oneBody,
	"prog_load/kfunc before prog_load/map-bad-fd":                                   oneBody,
	"prog_load/map-bad-fd before prog_load/map-no-map":                              "a descriptor is closed or no map",
	"link_create/prog-bad-fd before link_create/prog-none":                          oneProg,
	"link_create/prog-none before link_create/prog-other":                           oneProg,
	"prog_attach/prog-bad-fd before prog_attach/prog-none":                          oneProg,
	"prog_attach/prog-none before prog_attach/prog-other":                           oneProg,
	"prog_detach/prog-bad-fd before prog_detach/prog-none":                          oneProg,
	"prog_detach/prog-none before prog_detach/prog-other":                           oneProg,
	"raw_tracepoint_open/prog-bad-fd before raw_tracepoint_open/prog-none":          oneProg,
	"raw_tracepoint_open/prog-none before raw_tracepoint_open/prog-other":           oneProg,
	"map_create/btf-none before map_create/btf-kernel":                              oneFD,
	"link_create/prog-none before link_create/no-cap-net-admin":                     "what is no program has no type",
	"link_create/other-expected before link_create/no-netkit":                       oneTarget,
	"link_create/no-netkit before link_create/flags":                                "netkit takes flags of an order",
	"prog_load/bind-none before prog_load/bind-exclusive":                           oneFD,
	"prog_load/bind-exclusive before prog_load/signed-btf":                          oneFD,
	"prog_load/signature before prog_load/signature-no-key":                         "a signature is one or none",
	"link_create/no-multi before link_create/no-probe":                              oneTarget,
	"link_create/no-event before link_create/xdp-map":                               oneTarget,
	"prog_attach/no-cap-net-admin before prog_attach/attach-type":                   "cgroup_skb programs fit their types",
	"prog_attach/attach-type before prog_attach/no-cgroup":                          oneTarget,
	"prog_attach/no-target before prog_attach/no-netkit":                            "a netkit device takes programs",
	"prog_detach/no-type before prog_detach/no-cgroup":                              oneTarget,
	"prog_detach/no-cgroup before prog_detach/no-cap-net-admin":                     oneTarget,
	"prog_detach/no-cap-net-admin before prog_detach/prog-bad-fd":                   "what is not named is not closed",
	"prog_detach/prog-other before prog_detach/unnamed":                             "what is not named has no type",
	"prog_detach/unnamed before prog_detach/no-netkit":                              oneTarget,
	"link_update/no-update before link_update/netfilter":                            oneTarget,
	"link_update/netfilter before link_update/gone":                                 oneTarget,
	"link_update/twice before link_update/other-type":                               "a device has programs of one type",
	"map_create/inner-none before map_create/inner-exclusive":                       "what is no map is for no program",
	"prog_load/map-no-map before prog_load/map-exclusive":                           "what is no map is for no program",
	"map_create/zero-seed before map_create/extra-too-big":                          oneType,
	"prog_load/map-no-map before prog_load/map-root":                                "what is no map has no values",
	"prog_load/map-lock before prog_load/map-timer":                                 "a value has one special field",
	"prog_load/map-timer before prog_load/map-sleepable":                            "sleepers use such maps, too",
	"prog_load/map-lock before prog_load/map-sleepable":                             "sleepers use such maps, too",
	"token_create/no-fd before token_create/selinux-map-create-as":                  ownMachine,
	"token_create/selinux-map-create-as before token_create/selinux-prog-load-as":   "both are EACCES",
	"map_create/inner-type before map_create/no-struct-ops":                         "maps of maps have early checks",
	"map_create/offload-not-supported before map_create/inner-fd":                   oneType,
	"link_create/prog-other before link_create/no-cap-net-admin":                    "another program asks for nothing",
}

// TestEveryPairIsAsked walks the kernel's order: for any two neighbours some
// case of the default suite must meet both, so that a kernel shows which wins.
func TestEveryPairIsAsked(t *testing.T) {
	around := map[string]bool{} // calls around bpf(2)
	for _, id := range oracle.FileRules() {
		call, _, _ := strings.Cut(id, "/")
		around[call] = true
	}
	for _, release := range []string{"6.12", "7.3"} {
		order, met := map[string]bool{}, map[string]bool{}
		for _, g := range byDefault(t) {
			eachTrace(g, released[release], func(e *sim.Expect) {
				e.Trace = slices.DeleteFunc(slices.DeleteFunc(e.Trace, isLimit), isCommon)
				for i := 1; i < len(e.Trace); i++ {
					a, b := &e.Trace[i-1], &e.Trace[i]
					if call, _, _ := strings.Cut(a.ID, "/"); around[call] {
						break
					}
					pair := a.ID + " before " + b.ID
					order[pair] = true
					met[pair] = met[pair] || (a.Decides || a.Drops && a.Holds) && b.Holds
				}
			})
		}
		for pair := range order {
			_, never := apart[pair]
			never = never || strings.HasPrefix(pair, "call/unknown before ")
			switch {
			case !met[pair] && !never:
				t.Errorf("%s: no case of the default suite meets %s", release, pair)
			case met[pair] && never:
				t.Errorf("%s: %s is listed as never met together, and a case meets both", release, pair)
			}
		}
		if len(order) == 0 {
			t.Errorf("%s: no case explains an order", release)
		}
	}
}

// eachTrace plays the cases of a group that a kernel can be asked, with the
// rules that each step meets.
func eachTrace(g *Group, f *step.Facts, see func(*sim.Expect)) {
	for _, c := range g.Cases {
		sim := sim.New(f, &c.World.Program, true)
		play := func(steps []step.Step) {
			for i := range steps {
				if e := must(sim.Step(&steps[i])); e.Trace != nil {
					see(&e)
				}
			}
		}
		play(c.World.Program.Setup)
		if met(c, f) {
			play(c.Cell())
		}
	}
}

func met(c *Case, f *step.Facts) bool {
	unmet, _ := c.Unmet(f)
	return unmet == nil
}
