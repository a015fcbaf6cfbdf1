from policyhub.cli.main import main

main()
