from policyhub.cli import main

main()
