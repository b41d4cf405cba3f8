"""python -m efcheck"""

from efcheck.cli import main

if __name__ == "__main__":
    main()
