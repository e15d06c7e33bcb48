ON_INPUT = True
