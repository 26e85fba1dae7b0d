def run(foreign):
    return []
