# Include this file in the Makefile of a kernel tree, or call it there:
#
#     make -f ~/tokentest/scripts/vmtest.mk vmtest
#     make -f ~/tokentest/scripts/vmtest.mk vmtest O=../build CASES='map_create/any/*'
#     make -f ~/tokentest/scripts/vmtest.mk vmtest-series SERIES=x.mbox
#     make -f ~/tokentest/scripts/vmtest.mk vmtest-check
#
# vmtest tests the image that make has built in this tree, or below O=.
#
# In a checkout of tokentest this file builds and calls its bin/tokentest. A copy elsewhere, which "tokentest files
# vmtest.mk" prints, calls the tokentest in PATH.

TOKENTEST ?= $(abspath $(dir $(lastword $(MAKEFILE_LIST)))..)
VMTEST_CHECKOUT := $(wildcard $(TOKENTEST)/scripts/vmtest.mk)
VMTEST_PROGRAM := $(if $(VMTEST_CHECKOUT),$(TOKENTEST)/bin/tokentest,tokentest)
VMTEST_BUILD = $(if $(VMTEST_CHECKOUT),$(MAKE) -s --no-print-directory -C $(TOKENTEST) setup build O= KBUILD_OUTPUT=,:)
# If included, make reads this in the object directory, where O= may be relative to another directory.
ifeq ($(sub_make_done),1)
VMTEST_TREE := $(CURDIR)
VMTEST_SOURCE := $(abs_srctree)
else
VMTEST_TREE := $(abspath $(or $(O),$(KBUILD_OUTPUT),.))
VMTEST_SOURCE := $(CURDIR)
endif
VMTEST_CASES = $(foreach c,$(CASES),'$(c)')

# The kernel's Makefile calls make twice; the first passes every goal to the second.
ifneq ($(need-sub-make),1)
.PHONY: vmtest vmtest-series vmtest-check

vmtest:
	+@$(VMTEST_BUILD)
	@cd $(VMTEST_SOURCE) && $(VMTEST_PROGRAM) run --kernel tree:$(VMTEST_TREE) $(VMTEST_CASES) $(ARGS)

vmtest-series:
	@test -n "$(SERIES)" || { echo "vmtest-series: SERIES is not set; use e.g. SERIES=x.mbox"; exit 2; }
	+@$(VMTEST_BUILD)
	@cd $(VMTEST_SOURCE) && $(VMTEST_PROGRAM) series $(SERIES) --base 'git:$(VMTEST_SOURCE)#$(or $(BASE),HEAD)' $(VMTEST_CASES) $(ARGS)

vmtest-check:
	+@$(VMTEST_BUILD)
	@cd $(VMTEST_SOURCE) && $(VMTEST_PROGRAM) kernel check $(VMTEST_TREE)/.config
endif
