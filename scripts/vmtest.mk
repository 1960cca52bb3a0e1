# vmtest.mk: include it in a kernel tree's Makefile, or call it there:
#
#     make -f ~/tokentest/scripts/vmtest.mk vmtest
#     make -f ~/tokentest/scripts/vmtest.mk vmtest O=../build CASES='map_create/any/*'
#     make -f ~/tokentest/scripts/vmtest.mk vmtest-series SERIES=x.mbox
#     make -f ~/tokentest/scripts/vmtest.mk vmtest-check
#
# It tests the image that make has built in this tree, or below O=.

TOKENTEST ?= $(abspath $(dir $(lastword $(MAKEFILE_LIST)))..)
# Included, this is read where the kernel's own make has gone: among the objects, with O= as it was seen from elsewhere.
ifeq ($(sub_make_done),1)
VMTEST_TREE := $(CURDIR)
VMTEST_SOURCE := $(abs_srctree)
else
VMTEST_TREE := $(abspath $(or $(O),$(KBUILD_OUTPUT),.))
VMTEST_SOURCE := $(CURDIR)
endif
VMTEST_CASES = $(foreach c,$(CASES),'$(c)')

# The first of the kernel's two makes hands every goal to the second.
ifneq ($(need-sub-make),1)
.PHONY: vmtest vmtest-series vmtest-check

vmtest:
	@$(MAKE) -s --no-print-directory -C $(TOKENTEST) setup build O= KBUILD_OUTPUT=
	@cd $(VMTEST_SOURCE) && $(TOKENTEST)/bin/tokentest run --kernel tree:$(VMTEST_TREE) $(VMTEST_CASES) $(ARGS)

vmtest-series:
	@test -n "$(SERIES)" || { echo "vmtest-series: name the patches: SERIES=x.mbox"; exit 2; }
	@$(MAKE) -s --no-print-directory -C $(TOKENTEST) setup build O= KBUILD_OUTPUT=
	@cd $(VMTEST_SOURCE) && $(TOKENTEST)/bin/tokentest series $(SERIES) --base 'git:$(VMTEST_SOURCE)#$(or $(BASE),HEAD)' $(VMTEST_CASES) $(ARGS)

vmtest-check:
	@$(MAKE) -s --no-print-directory -C $(TOKENTEST) setup build O= KBUILD_OUTPUT=
	@cd $(VMTEST_SOURCE) && $(TOKENTEST)/bin/tokentest kernel check $(VMTEST_TREE)/.config
endif
