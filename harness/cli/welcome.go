package cli

// Welcome is what the command prints without arguments.
const Welcome = `tokentest checks on real kernels what a BPF token allows and what it denies.

  tokentest run                           boot Debian's 6.12 and run the suite
  tokentest run -k deb:7.3 -k deb:6.12    several kernels
  tokentest run -k path/to/bzImage        a kernel of your own
  tokentest run repro.txt -k deb:7.3      a case file of your own
  tokentest run -k git:~/linux#HEAD       built first

  tokentest list cases                    the cases
  tokentest explain CASE                  what a case must answer, and why
  tokentest bisect --good X --bad Y       what changed a decision
  tokentest exec -k deb:7.3 -- PROG       run any program in a machine

  tokentest report RUN -f html            look at a stored run
  tokentest compare BASE NEW              what changed between two
  tokentest history CASE                  one case over all of them

  tokentest doctor                        what is missing on this host
  tokentest help COMMAND|TOPIC            more; tokentest --help lists all

Exit codes: 0 all as expected; 1 a kernel differs; 2 usage; 3 no verdict.
`
