ON_INPUT = False
