"""flopsight: how much of this machine is a transformer really using, and where does the rest go?"""
