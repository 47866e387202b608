"""A small table of experiments, as its file says it."""

TABLE = """
    seeds = [0]
    faces = 1
    clips = 1
    [recipe]
    num_steps = 2
    batch = 1
    num_faces = 2
    steps = 2
    student_every = 1
    save_every = 1
    [students.k2]
    max_chunks = 2
    damaged_motion_share = 1.0
    mouth_weight = 1.0
    causal = true
    noised_teacher_motion = true
    text_scale = 3.0
    [[rows]]
    name = "Stage 1, guided"
    steps = 1
    guidance = [3.0, 4.0]
    chunks = 2
    [[rows]]
    name = "student"
    student = "k2"
    steps = 1
    rule = "renoise"
    chunks = 1
"""
