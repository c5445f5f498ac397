export const bench = async (args: string[]): Promise<void> => Promise.reject(new Error(args.join()))
