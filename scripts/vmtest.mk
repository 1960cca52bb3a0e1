# vmtest.mk: include it in a kernel tree's Makefile, or call it there:
#
#     make -f ~/tokentest/scripts/vmtest.mk vmtest
#     make -f ~/tokentest/scripts/vmtest.mk vmtest O=../build CASES='map_create/any/*'
#     make -f ~/tokentest/scripts/vmtest.mk vmtest-series SERIES=x.mbox
#     make -f ~/tokentest/scripts/vmtest.mk vmtest-check
#
# It tests the image that make has built in this tree, or below O=.

TOKENTEST ?= $(abspath $(dir $(lastword $(MAKEFILE_LIST)))..)
VMTEST_TREE := $(abspath $(or $(O),$(KBUILD_OUTPUT),.))
VMTEST_CASES = $(foreach c,$(CASES),'$(c)')

.PHONY: vmtest vmtest-series vmtest-check

vmtest:
	@$(MAKE) -s --no-print-directory -C $(TOKENTEST) setup build O= KBUILD_OUTPUT=
	@$(TOKENTEST)/bin/tokentest run --kernel tree:$(VMTEST_TREE) $(VMTEST_CASES) $(ARGS)

vmtest-series:
	@test -n "$(SERIES)" || { echo "vmtest-series: name the patches: SERIES=x.mbox"; exit 2; }
	@$(MAKE) -s --no-print-directory -C $(TOKENTEST) setup build O= KBUILD_OUTPUT=
	@$(TOKENTEST)/bin/tokentest series $(SERIES) --base 'git:$(CURDIR)#$(or $(BASE),HEAD)' $(VMTEST_CASES) $(ARGS)

vmtest-check:
	@$(MAKE) -s --no-print-directory -C $(TOKENTEST) setup build O= KBUILD_OUTPUT=
	@$(TOKENTEST)/bin/tokentest kernel check $(VMTEST_TREE)/.config
