#!/usr/bin/env python3
"""Answers to the questions that gen.py has none for, computed with numpy from the Parquet files.

  answers.py FOLDER

Reads nodes/person, edges/follows, edges/lives_in and params.json, writes answers.json:
  triangles      how many (a, b, c) there are with a -> b -> c -> a
  reach4         [person, how many persons are 1 to 4 steps away, itself too when it is on such a cycle]
  older_ends     [[gender, how many a -> b -> c there are with a of it and c older than a]]
  older_friends  [[gender, gender of the friend, average of how much older, number] of friends that are older]
  friends_back   how many follow somebody who follows them
  city_average   [least age, [[average age, number of persons], of the five cities with most of them]]
"""
import json, os, sys
import numpy as np, pyarrow.parquet as pq

FOLDER = sys.argv[1]
# Walks of two steps that are looked at together.
CHUNK = 20_000_000


def column(file, name):
    return pq.read_table(f"{FOLDER}/{file}.parquet", columns=[name])[name].to_numpy()


src, dst = column("edges/follows", "src"), column("edges/follows", "dst")
order = np.lexsort((dst, src))
src, dst = src[order].astype(np.int64), dst[order].astype(np.int64)
age = column("nodes/person", "age").astype(np.int64)
count = len(age)
degree = np.bincount(src, minlength=count)
first = np.concatenate([[0], np.cumsum(degree)])
# One number for each relationship, ascending: whether there is one is a search.
edges = src * count + dst


def targets(nodes):
    """The ends of all relationships that leave them, and from which place in `nodes` each left."""
    lengths = degree[nodes]
    place = np.repeat(np.arange(len(nodes)), lengths)
    within = np.arange(len(place)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return dst[first[nodes][place] + within], place


def walks():
    """First and last nodes of walks of two steps, some of all at a time."""
    begin, sizes = 0, np.cumsum(degree[dst])
    while begin < len(src):
        done = sizes[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(sizes, done + CHUNK)))
        last, place = targets(dst[begin:end])
        yield src[begin:end][place], last
        begin = end


def triangles():
    found = 0
    for first_node, last in walks():
        wanted = last * count + first_node
        at = np.searchsorted(edges, wanted)
        found += int((edges[np.minimum(at, len(edges) - 1)] == wanted).sum())
    return found


def reach(node, steps):
    seen, frontier = np.zeros(count, bool), np.array([node])
    for _ in range(steps):
        ends = np.unique(targets(frontier)[0])
        frontier = ends[~seen[ends]]
        seen[frontier] = True
    return int(seen.sum())


def city_average(least):
    person, city = column("edges/lives_in", "src"), column("edges/lives_in", "dst")
    kept = age[person] >= least
    number = np.bincount(city[kept])
    total = np.bincount(city[kept], weights=age[person[kept]])
    top = np.lexsort((np.arange(len(number)), -number))[:5]
    return [least, [[float(total[c] / number[c]), int(number[c])] for c in top]]


def older_ends(genders, gender):
    found = np.zeros(len(genders), np.int64)
    for a, c in walks():
        found += np.bincount(gender[a[age[a] < age[c]]], minlength=len(genders))
    return [[str(name), int(number)] for name, number in zip(genders, found)]


def older_friends(genders, gender):
    kept = age[src] < age[dst]
    a, b = src[kept], dst[kept]
    pair, size = gender[a] * len(genders) + gender[b], len(genders) ** 2
    number = np.bincount(pair, minlength=size)
    total = np.bincount(pair, weights=age[b] - age[a], minlength=size)
    names = [(str(x), str(y)) for x in genders for y in genders]
    return [[*names[i], float(total[i] / number[i]), int(number[i])] for i in range(size) if number[i]]


def friends_back():
    wanted = dst * count + src
    at = np.searchsorted(edges, wanted)
    back = edges[np.minimum(at, len(edges) - 1)] == wanted
    return len(np.unique(src[back]))


def main():
    params = json.load(open(f"{FOLDER}/params.json"))
    genders, gender = np.unique(column("nodes/person", "gender").astype(str), return_inverse=True)
    answers = {
        "older_ends": older_ends(genders, gender),
        "older_friends": older_friends(genders, gender),
        "friends_back": friends_back(),
        "triangles": triangles(),
        "reach4": [[k, reach(k, 4)] for k in params["hop1_keys"][130:140]],
        "city_average": [city_average(least) for least in (18, 30, 45)],
    }
    # Whole or not at all.
    json.dump(answers, open(f"{FOLDER}/answers.new", "w"))
    os.replace(f"{FOLDER}/answers.new", f"{FOLDER}/answers.json")


main()
